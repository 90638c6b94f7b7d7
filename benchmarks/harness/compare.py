"""Whether one measurement is slower than another: ratios with the noise that the runs showed, no verdict inside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import wilcoxon

from headrace.benchmarks.harness.results import Results, Row

Verdict = Literal["slower", "faster", "no difference", "no time"]

#: A paired verdict needs a difference this unlikely to come from the order of the rounds alone, and at least this big.
SIGNIFICANCE = 1e-4
SMALLEST = 1.03
#: The rounds that reach that significance at all (2 * 2^-n).
PAIRS = 20


@dataclass(frozen=True)
class Difference:
    """One measurement in two files. ratio: B's time by A's, above 1 when B is slower. noise: a ratio within 1/noise to
    noise says nothing. paired: whether the two were timed in turns."""

    op: str
    case: str
    provider: str
    threads: int
    isa: str
    a_ms: float | None
    b_ms: float | None
    ratio: float
    noise: float
    verdict: Verdict
    paired: bool
    note: str = ""


def compare(a: Results, b: Results) -> list[Difference]:
    """Every measurement that both files have, in the order of A.

    Files that were timed in turns are compared round by round. Others are compared by their medians after taking out
    how far the case's peers moved, which are the same code in both.
    """
    other = {row.key: row for row in b.rows}
    return [_difference(row, other[row.key], a, b) for row in a.rows if row.key in other]


def _difference(a: Row, b: Row, first: Results, second: Results) -> Difference:
    head = (a.op, a.case, a.provider, a.threads, a.isa, a.median, b.median)
    if a.median is None or b.median is None:
        return Difference(*head, math.nan, math.nan, "no time", False, b.error or a.error or "")
    if a.pairing is not None and a.pairing == b.pairing:
        ratio, noise, verdict = paired(a.rounds, b.rounds)
        return Difference(*head, ratio, noise, verdict, True)
    drift = 1.0 if a.kind == "peer" else _drift(a, first, second)
    ratio, noise, verdict = apart(a.rounds, b.rounds, drift)
    note = f"peers moved {drift:.2f}x" if drift != 1.0 else ""
    return Difference(*head, ratio, noise, verdict, False, note)


def paired(a: list[float], b: list[float]) -> tuple[float, float, Verdict]:
    """(ratio, noise, verdict) of rounds that were taken in pairs, in an order drawn anew for each pair.

    Wilcoxon's signed-rank test of the logarithms: were A and B the same code, each sign would be a coin's.
    """
    logs = np.log(np.array(b) / np.array(a))
    ratio = float(np.exp(np.median(logs)))
    spread = float(np.subtract(*np.percentile(logs, [75, 25])))
    noise = math.exp(spread)
    if len(logs) < PAIRS or not logs.any():
        return ratio, noise, "no difference"
    surprising = float(wilcoxon(logs, method="exact" if len(logs) <= 50 else "approx").pvalue) < SIGNIFICANCE
    return ratio, noise, _verdict(ratio, SMALLEST) if surprising else "no difference"


def apart(a: list[float], b: list[float], drift: float = 1.0) -> tuple[float, float, Verdict]:
    """(ratio, noise, verdict) of rounds from two separate runs; drift: how much slower the machine was in B.

    The noise is how far apart the 10th and 90th percentiles of both runs lie, together.
    """
    ratio = float(np.median(b) / np.median(a)) / drift
    noise = SMALLEST * _spread(a) * _spread(b)
    return ratio, noise, _verdict(ratio, noise)


def _spread(rounds: list[float]) -> float:
    low, high = np.percentile(rounds, [10, 90])
    return float(high / low)


def _verdict(ratio: float, margin: float) -> Verdict:
    if ratio > margin:
        return "slower"
    return "faster" if ratio < 1 / margin else "no difference"


def _drift(row: Row, first: Results, second: Results) -> float:
    """The geometric mean of how the peers of the row's case moved from the first file to the second; 1 without any."""
    later = {r.key: r.median for r in second.rows if r.kind == "peer"}
    moved = [
        math.log(later[r.key] / r.median)  # type: ignore[operator]
        for r in first.rows
        if r.kind == "peer" and (r.op, r.case) == (row.op, row.case) and r.median and later.get(r.key)
    ]
    return math.exp(sum(moved) / len(moved)) if moved else 1.0
