"""Rows of results, and their JSON files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from headrace.benchmarks.harness.ceilings import Ceiling
from headrace.kernels import atomic

FORMAT = 1


@dataclass(frozen=True)
class Row:
    """One provider's answer to one case.

    min, median, p99, rounds: in `unit` for one call, None and [] when nothing was timed; `error` says why. inner: calls
    a round. checked: how right the answer was. limit: the ceiling that binds; fraction: of the speed it allows.
    pairing: rows of two files with the same one were timed in turns, round by round. launches: the rounds came from
    that many fresh processes, one after another, equally many from each.
    """

    op: str
    case: str
    params: dict[str, Any]
    provider: str
    kind: str
    suite: str
    axis: str | None
    threads: int
    isa: str
    device: str
    versions: dict[str, str]
    commit: str
    time: str
    unit: str = "ms"
    min: float | None = None
    median: float | None = None
    p99: float | None = None
    rounds: list[float] = field(default_factory=list)
    inner: int = 1
    checked: str = ""
    error: str | None = None
    flops: float | None = None
    bytes: float | None = None
    dtype: str | None = None
    random: bool | None = None
    limit: str | None = None
    fraction: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    pairing: str | None = None
    launches: int = 1

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        """What makes rows of two files the same measurement."""
        return (self.op, self.case, self.provider, self.threads, self.isa)


def summary(rounds: list[float]) -> dict[str, Any]:
    """min, median, p99 and the rounds themselves, to five figures."""
    values = np.array(rounds)
    return {
        "min": _figures(values.min()),
        "median": _figures(np.median(values)),
        "p99": _figures(np.percentile(values, 99)),
        "rounds": [_figures(value) for value in values],
    }


def _figures(value: float) -> float:
    return float(f"{value:.5g}")


@dataclass
class Results:
    """A results file.

    machine: `provenance.facts`. skipped: what did not run, and why. checks: of `make gpu-check`, each with op, name,
    passed, message and seconds.
    """

    machine: dict[str, Any]
    ceilings: list[Ceiling] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Writes the file in one step. Raises OSError."""
        parts = {
            "format": FORMAT,
            "machine": self.machine,
            "ceilings": [asdict(one) for one in self.ceilings],
            "skipped": self.skipped,
            "checks": self.checks,
        }
        head = json.dumps(parts, indent=1)[:-2]
        rows = ",\n".join("  " + json.dumps(asdict(row)) for row in self.rows)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replace(path) as part:
            part.write_text(f'{head},\n "rows": [\n{rows}\n ]\n}}\n')

    @classmethod
    def load(cls, path: Path) -> Results:
        """Reads a file. Raises ValueError naming it when it is no results file, OSError when it cannot be read."""
        try:
            content = json.loads(path.read_text())
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']}, expected {FORMAT}")
            known = {one.name for one in fields(Row)}
            rows = [Row(**{name: value for name, value in row.items() if name in known}) for row in content["rows"]]
            ceilings = [Ceiling(**one) for one in content["ceilings"]]
            return cls(content["machine"], ceilings, rows, content["skipped"], content.get("checks", []))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not a results file of `headrace bench`: {error!r}") from error
