"""A profile: the funnel under load with its spans recorded, as tables, a trace and a flame graph."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from headrace.doctor import machine
from headrace.kernels import settings, spans
from headrace.kernels.spans import Span
from headrace.profiling import table
from headrace.profiling.load import Callers, user_batches
from headrace.profiling.overhead import Overhead, overhead
from headrace.profiling.table import Row
from headrace.profiling.torch_ops import merge, recording_torch
from headrace.profiling.tree import Call, nest
from headrace.serving import Engine

#: Rounds with recording on, each beside the same round with it off; batches whose torch operators are recorded.
_ROUNDS, _TRACED = 10, 8


@dataclass(frozen=True)
class Load:
    """What the engine is asked: `batches` batches of `batch` users by `concurrency` callers. threads: of kernels and of
    torch; 0 means the process setting. torch: record torch's operators too, in further batches."""

    batch: int = 64
    batches: int = 40
    threads: int = 0
    concurrency: int = 1
    torch: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch", "batches", "concurrency"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if not 0 <= self.threads <= 1024:
            raise ValueError(f"threads: expected 0 to 1024, got {self.threads}")


@dataclass(frozen=True)
class Profile:
    """What was measured. rows, operators: see `table`. batches: recorded calls, for the tables. traced: calls with
    torch's operators among them where those were asked for, else the same calls.

    requests_per_second: with recording off. p50_ms, p99_ms: of a recorded batch. traced_share: how much longer batches
    took with torch's operators recorded; None where they were not.
    """

    load: Load
    rows: list[Row]
    operators: list[Row]
    overhead: Overhead
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    traced_share: float | None
    machine: dict[str, str]
    batches: list[Call]
    traced: list[Call]

    @property
    def spans(self) -> list[Span]:
        """The spans that the trace file holds."""
        return [call.span for root in self.traced for call in root.walk()]

    def to_json(self) -> str:
        """Everything but the calls, as JSON."""
        facts = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("batches", "traced")
        }
        return json.dumps({"format": 1, **facts}, default=dataclasses.asdict, indent=1)


def profile(engine: Engine, load: Load, progress: Progress | None = None) -> Profile:
    """Runs the engine under `load`, twice: recorded and not, in turns, so that recording's own cost is measured.

    Raises RuntimeError where spans are being recorded already.
    """
    batches = user_batches(len(engine.users), load.batch, load.batches, load.seed)
    step = load.concurrency * max(1, len(batches) // (_ROUNDS * load.concurrency))
    rounds = [batches[at : at + step] for at in range(0, len(batches), step)]
    with settings.all_threads(load.threads), Callers(engine, load.concurrency) as callers:
        tell = _step(progress, "warm-up", 2)
        for _ in range(2):
            callers.run(rounds[0])
            tell()
        on, off, recorded = _in_turns(callers, rounds, _step(progress, "batches", len(rounds)))
        calls = nest(recorded)
        # Seconds that a caller waits for a batch; the median, so that a busy moment does not make spans look cheap.
        each = float(np.median(np.divide(off, [len(part) for part in rounds]))) * load.concurrency
        traced, traced_share = calls, None
        if load.torch:
            traced = nest(_traced(callers, batches[: max(_TRACED, load.concurrency)], progress))
            mean = float(np.mean([call.span.ns for call in traced]))
            traced_share = mean / float(np.mean([call.span.ns for call in calls])) - 1
    ms = [call.span.ns / 1e6 for call in calls]
    return Profile(
        load,
        table.rows(calls, len(batches) * load.batch),
        table.operators(traced),
        overhead(on, off, len(recorded) / len(batches), each),
        len(batches) * load.batch / sum(off),
        float(np.percentile(ms, 50)),
        float(np.percentile(ms, 99)),
        traced_share,
        machine(),
        calls,
        traced,
    )


def _in_turns(
    callers: Callers, rounds: Sequence[list[NDArray[np.int64]]], tell: Callable[[], None]
) -> tuple[list[float], list[float], list[Span]]:
    """Seconds of each round recorded and not, and the spans. The order changes from round to round."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    recorded: list[Span] = []
    for number, batches in enumerate(rounds):
        for record in (True, False) if number % 2 else (False, True):
            if record:
                with spans.recording() as found:
                    seconds[record].append(callers.run(batches))
                recorded += found
            else:
                seconds[record].append(callers.run(batches))
        tell()
    return seconds[True], seconds[False], recorded


def _traced(callers: Callers, batches: list[NDArray[np.int64]], progress: Progress | None) -> list[Span]:
    tell = _step(progress, "torch operators", 1)
    with recording_torch() as operators, spans.recording() as own:
        callers.run(batches)
    tell()
    return merge(own, operators)


def _step(progress: Progress | None, name: str, total: int) -> Callable[[], None]:
    """Starts a bar of the progress; the answer moves it on."""
    if progress is None:
        return lambda: None
    task = progress.add_task(name, total=total)
    return lambda: progress.advance(task)
