"""Rows of a results file, gathered by case: ours, the peers, and how they compare."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

from headrace.benchmarks.harness.results import Results, Row

#: A peer that ranks in float32 may swap near ties in this much of its answer at most; one below it is approximate.
EXACT = 0.99


@dataclass(frozen=True)
class Answers:
    """Everyone's timed answer to one case."""

    op: str
    case: str
    rows: list[Row]

    @property
    def ours(self) -> Row | None:
        """The fastest of our own."""
        return _fastest([row for row in self.rows if row.kind == "headrace"])

    @property
    def best_peer(self) -> Row | None:
        """The fastest of the peers that answer as well as float32 allows; approximate ones are no match."""
        return _fastest([row for row in self.rows if row.kind == "peer" and row.provider not in self.approximate])

    @property
    def approximate(self) -> set[str]:
        """The providers whose answer misses more than float32 explains."""
        return {row.provider for row in self.rows if row.metrics.get("share right", 1.0) < EXACT}

    @property
    def speedup(self) -> float | None:
        """The best peer's median by ours; None without either."""
        ours, peer = self.ours, self.best_peer
        if ours is None or peer is None or not ours.median or not peer.median:
            return None
        return peer.median / ours.median


def answers(results: Results) -> list[Answers]:
    """By op and case, in the file's order; what has no time is left out."""
    timed = [row for row in results.rows if row.median is not None]
    return [Answers(op, case, list(rows)) for (op, case), rows in groupby(timed, key=lambda row: (row.op, row.case))]


@dataclass(frozen=True)
class Curve:
    """One provider's time over one parameter. points: (value, median ms), rising; exponent: the slope in logarithms."""

    op: str
    axis: str
    provider: str
    kind: str
    points: list[tuple[float, float]]
    exponent: float


def curves(results: Results) -> list[Curve]:
    """The scaling curves: cases of one op and axis, joined with those that differ from them in that parameter alone."""
    found = []
    keys = dict.fromkeys((row.op, row.axis) for row in results.rows if row.axis)
    for op, axis in keys:
        on_axis = [row for row in results.rows if row.op == op and row.axis == axis and row.median]
        providers = dict.fromkeys((row.provider, row.kind) for row in on_axis)
        for provider, kind in providers:
            pairs = {float(row.params[str(axis)]): row.median for row in on_axis if row.provider == provider}
            points = sorted((value, float(median)) for value, median in pairs.items() if median)
            if len(points) > 1:
                found.append(Curve(op, str(axis), provider, kind, points, exponent(points)))
    return found


def exponent(points: list[tuple[float, float]]) -> float:
    """The least-squares slope of log(time) over log(parameter)."""
    xs, ys = ([math.log(point[side]) for point in points] for side in (0, 1))
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread


def _fastest(rows: list[Row]) -> Row | None:
    return min(rows, key=lambda row: row.median or math.inf, default=None)
