"""What a load run is told to do and what it found, as plain records that are written as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import TypeAdapter

from headrace.report.model import Machine

Number = float | None
#: Reasons that a sentence names.
_TOLD = 4


@dataclass(frozen=True)
class Plan:
    """batch: users a call, or with `gather` the most of a micro-batch. workers: calls at once. threads: of the engine's
    kernels. seconds: measured in each step, after `warm_up` seconds. loads: offered, as shares of the closed loop's
    capacity. batches, threads_swept, workers_swept: the sizes that the closed-loop sweeps try. slo_ms: limit of p99.
    """

    batch: int = 16
    gather: bool = True
    workers: int = 1
    threads: int = 1
    seconds: float = 4.0
    warm_up: float = 1.0
    loads: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
    batches: tuple[int, ...] = ()
    threads_swept: tuple[int, ...] = ()
    workers_swept: tuple[int, ...] = ()
    slo_ms: float = 50.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch", "workers", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        for name in ("seconds", "slo_ms"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name}: expected more than 0, got {getattr(self, name)}")
        if not 0 <= self.warm_up < float("inf"):
            raise ValueError(f"warm_up: expected at least 0, got {self.warm_up}")
        if bad := [load for load in self.loads if not 0 < load <= 10]:
            raise ValueError(f"loads: expected shares of the capacity above 0 and at most 10, got {bad[0]}")
        for name in ("batches", "threads_swept", "workers_swept"):
            if bad := [size for size in getattr(self, name) if size < 1]:
                raise ValueError(f"{name}: expected at least 1, got {bad[0]}")

    @property
    def steps(self) -> int:
        return 1 + len(self.loads) + len(self.batches) + len(self.threads_swept) + len(self.workers_swept)

    @property
    def estimate(self) -> float:
        """Seconds that the steps take unless the target is slow or falls behind."""
        return self.steps * (self.seconds + self.warm_up)


@dataclass(frozen=True)
class Latency:
    """Milliseconds over a step's requests, each recorded exactly. A percentile is a request's own latency: the smallest
    that so many are at or below. None where no request succeeded."""

    p50: Number = None
    p99: Number = None
    p999: Number = None
    max: Number = None
    mean: Number = None


@dataclass(frozen=True)
class Step:
    """One step. load: the share of capacity that was aimed at, None in a closed loop. offered: requests due a second,
    None in a closed loop. achieved: requests answered a second, errors left out. requests: answered and measured.
    unsent: given up because the target had fallen too far behind; each counts in `latency` with the time that it had
    waited by then. latency: from when a request was due; in a closed loop, from when it was sent. latency_from_send:
    the same requests from when they were sent, which hides the wait for a stalled target. mean_batch: requests a call.
    busy: cores that this process kept busy, None where the target is another process. saturated: the backlog grew, so
    the latencies say how long the step was, not what users would wait. failures: why measured requests failed, and how
    many for each reason.
    """

    batch: int
    threads: int
    workers: int
    seconds: float
    achieved: float
    requests: int
    latency: Latency
    latency_from_send: Latency
    load: Number = None
    offered: Number = None
    mean_batch: Number = None
    busy: Number = None
    failures: dict[str, int] = field(default_factory=dict)
    unsent: int = 0
    saturated: bool = False

    @property
    def errors(self) -> int:
        """Measured requests that failed."""
        return sum(self.failures.values())


def reasons_of(steps: Sequence[Step]) -> str:
    """Why requests failed, in words, the most frequent reasons first."""
    total: Counter[str] = Counter()
    for step in steps:
        total.update(step.failures)
    told = [f"{count:,} by {reason}" for reason, count in total.most_common(_TOLD)]
    rest = sum(total.values()) - sum(count for _, count in total.most_common(_TOLD))
    return "; ".join([*told, *([f"{rest:,} otherwise"] if rest else [])])


@dataclass
class LoadReport:
    """One run, filled step by step, so that an interrupted one holds what it got to. target: its name. in_process:
    whether it ran in this process. cores: that this process may use. closed: the closed loop at the plan's sizes,
    whose rate is the capacity."""

    target: str
    in_process: bool
    created: str
    version: str
    machine: Machine
    cores: int
    plan: Plan
    closed: Step | None = None
    offered: list[Step] = field(default_factory=list)
    batches: list[Step] = field(default_factory=list)
    threads: list[Step] = field(default_factory=list)
    workers: list[Step] = field(default_factory=list)
    interrupted: bool = False
    failure: str = ""

    @property
    def steps(self) -> list[Step]:
        """Every step that was measured."""
        return [*([self.closed] if self.closed else []), *self.offered, *self.batches, *self.threads, *self.workers]

    def to_json(self) -> str:
        """The report as indented JSON."""
        return _ADAPTER.dump_json(self, indent=1).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> LoadReport:
        """The report that `to_json` wrote. A ValueError says which field is missing or wrong."""
        return _ADAPTER.validate_json(text)


_ADAPTER = TypeAdapter(LoadReport)
