"""Whether one measurement is slower than another: ratios with the noise that the runs showed, no verdict inside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headrace.benchmarks.harness.results import Results, Row

Verdict = Literal["slower", "faster", "no difference", "no verdict", "no time"]

#: How often rounds taken in turns may show a difference where there is none. A suite of a hundred cases then reports
#: a false one in at most one run of a hundred.
SIGNIFICANCE = 1e-4
#: Differences below this are never a verdict: where data and code happen to lie in memory makes as much.
SMALLEST = 1.03
#: What separate runs differ by beyond what their rounds show: the machine itself changes between them.
SMALLEST_APART = 1.10


@dataclass(frozen=True)
class Difference:
    """One measurement in two files. ratio: B's time by A's, above 1 when B is slower. noise: a ratio from 1/noise to
    noise says nothing. paired: whether the two were timed in turns. note: why there is no verdict, or how it came."""

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

    Rounds that were timed in turns are compared pair by pair. Others are compared by their medians after taking out
    how far the case's peers moved, which are the same code in both.
    """
    other = {row.key: row for row in b.rows}
    return [_difference(row, other[row.key], a, b) for row in a.rows if row.key in other]


def alone(a: Results, b: Results) -> list[Difference]:
    """Every measurement that only one of the files has."""
    found = []
    for name, these, those in (("A", a, b), ("B", b, a)):
        known = {row.key for row in those.rows}
        for row in these.rows:
            if row.key not in known:
                a_ms, b_ms = (row.median, None) if name == "A" else (None, row.median)
                found.append(_silent(row, a_ms, b_ms, "no verdict", f"only in {name}"))
    return found


def _difference(a: Row, b: Row, first: Results, second: Results) -> Difference:
    if a.median is None or b.median is None:
        note = "; ".join(f"{name}: {row.error}" for name, row in (("A", a), ("B", b)) if row.error)
        return _silent(a, a.median, b.median, "no time", note)
    head = (a.op, a.case, a.provider, a.threads, a.isa, a.median, b.median)
    reason = _why_not(a, b)
    if reason:
        return _silent(a, a.median, b.median, "no verdict", reason)
    if a.pairing is not None and a.pairing == b.pairing:
        if len(a.rounds) != len(b.rounds) or len(a.rounds) // a.launches < PAIRS:
            return _silent(a, a.median, b.median, "no verdict", f"fewer than {PAIRS} pairs of rounds")
        note = f"{a.launches} launches" if a.launches > 1 else ""
        return Difference(*head, *paired(a.rounds, b.rounds, a.launches), True, note)
    drift, scatter = (1.0, 1.0) if a.kind == "peer" else _drift(a, first, second)
    ratio, noise, verdict = apart(a.rounds, b.rounds, drift, scatter)
    if a.kind == "peer":
        return Difference(*head, ratio, noise, "no verdict", False, "the same code in both")
    note = f"peers moved {drift:.2f}x" if drift != 1.0 else ""
    return Difference(*head, ratio, noise, verdict, False, note)


def _why_not(a: Row, b: Row) -> str:
    if a.device != b.device:
        return "different machines"
    return "" if (a.params, a.flops, a.bytes) == (b.params, b.flops, b.bytes) else "the case itself changed"


def _silent(row: Row, a_ms: float | None, b_ms: float | None, verdict: Verdict, note: str) -> Difference:
    head = (row.op, row.case, row.provider, row.threads, row.isa)
    return Difference(*head, a_ms, b_ms, math.nan, math.nan, verdict, False, note)


def paired(a: list[float], b: list[float], launches: int = 1) -> tuple[float, float, Verdict]:
    """(ratio, noise, verdict) of rounds that were taken in pairs, the order drawn anew for each pair.

    ratio: the Hodges-Lehmann estimate, the median of the means of any two pairs' logarithms. noise: how far it is from
    the end of its interval, Wilcoxon's signed-rank test turned round, at `SIGNIFICANCE`. Were A and B the same code,
    each pair's sign would be the coin that drew its order, whatever the machine did meanwhile: drift, bursts and slow
    waves move no verdict. launches: the rounds came from that many fresh processes, one after another; where memory
    happened to lie differs between them, so each must show the difference.
    """
    logs = np.log(np.array(b) / np.array(a))
    ratio = float(np.median(_walsh(logs)))
    ends = [_interval(part) for part in np.array_split(logs, launches)]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    noise = max(SMALLEST, math.exp(ratio - low if ratio > 0 else high - ratio))
    return math.exp(ratio), noise, _verdict(math.exp(ratio), noise)


def _walsh(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each two values and of each with itself, in order."""
    i, j = np.triu_indices(len(logs))
    return np.sort((logs[i] + logs[j]) / 2)


def _interval(logs: NDArray[np.float64]) -> tuple[float, float]:
    """Where the middle of the values lies, but for a chance of `SIGNIFICANCE`."""
    cut = _cut(len(logs))
    if cut == 0:
        return -math.inf, math.inf
    means = _walsh(logs)
    return float(means[cut - 1]), float(means[-cut])


@lru_cache
def _cut(pairs: int) -> int:
    """How many of the means may lie on the other side: the most with P(signed-rank sum < cut) <= SIGNIFICANCE / 2."""
    chances = np.ones(1)
    for rank in range(1, pairs + 1):
        grown = np.zeros(len(chances) + rank)
        grown[: len(chances)] += chances / 2
        grown[rank:] += chances / 2
        chances = grown
    return int(np.searchsorted(np.cumsum(chances), SIGNIFICANCE / 2, side="right"))


#: The fewest pairs that can reach a verdict.
PAIRS = next(pairs for pairs in range(1, 100) if _cut(pairs))


def apart(a: list[float], b: list[float], drift: float = 1.0, scatter: float = 1.0) -> tuple[float, float, Verdict]:
    """(ratio, noise, verdict) of rounds from two separate runs.

    drift: how much slower the machine was in B; scatter: how far what shows it disagrees. The noise is how far apart
    the 10th and 90th percentiles of both runs lie, together: rounds of one run are not independent, so their number
    makes nothing more certain.
    """
    ratio = float(np.median(b) / np.median(a)) / drift
    noise = SMALLEST_APART * _spread(a) * _spread(b) * scatter
    return ratio, noise, _verdict(ratio, noise)


def _spread(rounds: list[float]) -> float:
    low, high = np.percentile(rounds, [10, 90])
    return float(high / low)


def _verdict(ratio: float, noise: float) -> Verdict:
    if ratio > noise:
        return "slower"
    return "faster" if ratio < 1 / noise else "no difference"


def _drift(row: Row, first: Results, second: Results) -> tuple[float, float]:
    """How the peers of the row's case moved from the first file to the second: their geometric mean, and how far the
    farthest is from it; 1 and 1 without any. A peer is the same code where the libraries are the same."""
    later = {r.key: r for r in second.rows if r.kind == "peer"}
    moved = []
    for peer in first.rows:
        if peer.kind == "peer" and (peer.op, peer.case) == (row.op, row.case) and peer.key in later:
            again = later[peer.key]
            if peer.median and again.median and _libraries(peer) == _libraries(again):
                moved.append(math.log(again.median / peer.median))
    if not moved:
        return 1.0, 1.0
    mean = sum(moved) / len(moved)
    return math.exp(mean), math.exp(max(abs(one - mean) for one in moved))


def _libraries(row: Row) -> dict[str, str]:
    return {name: version for name, version in row.versions.items() if name != "headrace"}
