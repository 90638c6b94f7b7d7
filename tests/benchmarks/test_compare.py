"""The rules of `compare` on noise whose nature is known: how often they are wrong, and what they find."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from headrace.benchmarks.guard.turns import LEAST, MOST, take
from headrace.benchmarks.harness import compare as rules
from headrace.benchmarks.harness.compare import PAIRS, SMALLEST, alone, apart, compare, paired
from headrace.benchmarks.harness.results import Results, Row, summary

Noise = Callable[[np.random.Generator, int], NDArray[np.float64]]


def lognormal(draw: np.random.Generator, n: int) -> NDArray[np.float64]:
    return draw.normal(0, 0.05, n)


def drift(draw: np.random.Generator, n: int) -> NDArray[np.float64]:
    """The clock sinks by 40 % from the first round to the last, with steps."""
    return np.linspace(0, 0.4, n) + np.repeat(draw.normal(0, 0.1, n // 8 + 1), 8)[:n] + draw.normal(0, 0.02, n)


def bursts(draw: np.random.Generator, n: int) -> NDArray[np.float64]:
    """A neighbour doubles the time of a few rounds in a row, a tenth of the time."""
    starts = draw.random(n) < 0.03
    hit = np.convolve(starts, np.ones(4))[:n] > 0
    return draw.normal(0, 0.03, n) + hit * draw.exponential(0.7, n)


def slow_waves(draw: np.random.Generator, n: int) -> NDArray[np.float64]:
    """AR(1): what was slow a moment ago still is."""
    noise = np.empty(n)
    noise[0] = draw.normal(0, 0.1)
    for i in range(1, n):
        noise[i] = 0.95 * noise[i - 1] + draw.normal(0, 0.1 * math.sqrt(1 - 0.95**2))
    return noise


def second_is_slower(draw: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Whoever comes second in a pair finds the caches cold."""
    return np.tile([0.0, 0.2], n // 2) + draw.normal(0, 0.02, n)


NOISES = [lognormal, drift, bursts, slow_waves, second_is_slower]


def rounds_in_turns(
    noise: Noise, draw: np.random.Generator, slower: float, pairs: int
) -> tuple[list[float], list[float]]:
    moments = iter(np.exp(noise(draw, 2 * pairs)))
    return take(lambda: float(next(moments)), lambda: float(next(moments)) * slower, pairs, int(draw.integers(2**31)))


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("pairs", [LEAST, MOST])
def test_the_same_code_timed_in_turns_shows_no_difference(noise: Noise, pairs: int) -> None:
    # A false verdict has a chance of 1e-4 a run at most, whatever the noise; of 300 runs 0.03 are expected.
    draw = np.random.default_rng(7)
    verdicts = [paired(*rounds_in_turns(noise, draw, 1.0, pairs))[2] for _ in range(300)]
    assert verdicts.count("no difference") == 300


@pytest.mark.parametrize("noise", NOISES)
def test_a_quarter_slower_is_found_in_turns(noise: Noise) -> None:
    draw = np.random.default_rng(8)
    runs = [paired(*rounds_in_turns(noise, draw, 1.25, MOST)) for _ in range(100)]
    assert sum(verdict == "slower" for _, _, verdict in runs) >= 95
    assert np.median([ratio for ratio, _, _ in runs]) == pytest.approx(1.25, rel=0.03)


def test_a_tenth_slower_is_found_in_little_noise_and_faster_is_told_too() -> None:
    draw = np.random.default_rng(9)
    slower = [paired(*rounds_in_turns(lognormal, draw, 1.1, MOST))[2] for _ in range(100)]
    faster = [paired(*rounds_in_turns(lognormal, draw, 1 / 1.1, MOST))[2] for _ in range(100)]
    assert slower.count("slower") == 100
    assert faster.count("faster") == 100


def test_the_interval_is_wilcoxons_test_turned_round() -> None:
    draw = np.random.default_rng(10)
    for shift in np.linspace(0.3, 1.2, 40):
        logs = draw.normal(shift, 1, 24)
        low, high = rules._interval(logs)
        surprising = wilcoxon(logs, method="exact").pvalue <= rules.SIGNIFICANCE
        assert (low > 0 or high < 0) == surprising


def test_a_small_certain_difference_is_no_verdict() -> None:
    a = [1.0 + i * 1e-6 for i in range(40)]
    assert paired(a, [one * (SMALLEST - 0.005) for one in a])[2] == "no difference"
    assert paired(a, [one * (SMALLEST + 0.005) for one in a])[2] == "slower"
    assert paired(a, a) == (1.0, SMALLEST, "no difference")


def joined(launches: list[tuple[list[float], list[float]]]) -> tuple[list[float], list[float]]:
    return [one for a, _ in launches for one in a], [one for _, b in launches for one in b]


def test_every_launch_must_show_the_difference() -> None:
    draw = np.random.default_rng(11)
    slow, same = ([rounds_in_turns(lognormal, draw, by, 30) for _ in range(3)] for by in (1.2, 1.0))
    assert paired(*joined(slow), 3)[2] == "slower"
    assert paired(*joined([slow[0], slow[1], same[0]]), 3)[2] == "no difference"


@pytest.mark.parametrize("noise", [lognormal, bursts, slow_waves])
def test_separate_runs_of_the_same_code_are_seldom_told_apart(noise: Noise) -> None:
    # Between runs the whole machine moves by 5 % (standard deviation), which no run can see in its own rounds.
    draw = np.random.default_rng(12)
    moved = np.exp(draw.normal(0, 0.05, (500, 2)))
    verdicts = [apart(list(np.exp(noise(draw, 40)) * x), list(np.exp(noise(draw, 40)) * y))[2] for x, y in moved]
    assert verdicts.count("no difference") >= 495


@pytest.mark.parametrize("noise", [lognormal, bursts, slow_waves])
def test_twice_as_slow_is_found_in_separate_runs(noise: Noise) -> None:
    draw = np.random.default_rng(13)
    runs = [apart(list(np.exp(noise(draw, 40))), list(np.exp(noise(draw, 40)) * 2))[2] for _ in range(200)]
    assert runs.count("slower") >= (195 if noise is lognormal else 100)


def row(rounds: list[float], provider: str = "headrace", **changes: object) -> Row:
    facts: dict[str, object] = {
        **{"op": "toy", "case": "one", "params": {}, "provider": provider, "suite": "quick", "axis": None},
        **{"kind": "headrace" if provider == "headrace" else "peer", "threads": 1, "isa": "avx2", "device": "a chip"},
        **{"versions": {"torch": "2", "headrace": "1"}, "commit": "", "time": ""},
    }
    return Row(**{**facts, **(summary(rounds) if rounds else {}), **changes})  # type: ignore[arg-type]


def one_verdict(a: list[Row], b: list[Row]) -> tuple[str, str]:
    found = next(d for d in compare(Results({}, rows=a), Results({}, rows=b)) if d.provider == "headrace")
    return found.verdict, found.note


def test_what_cannot_be_compared_gets_no_verdict() -> None:
    fast, slow = [1.0] * 40, [2.0] * 40
    assert one_verdict([row(fast)], [row(slow)])[0] == "slower"
    assert one_verdict([row(fast)], [row(slow, device="b chip")]) == ("no verdict", "different machines")
    assert one_verdict([row(fast)], [row(slow, params={"k": 2})]) == ("no verdict", "the case itself changed")
    few = PAIRS - 1
    short = [row(one[:few], pairing="x") for one in (fast, slow)]
    assert one_verdict(short[:1], short[1:]) == ("no verdict", f"fewer than {PAIRS} pairs of rounds")
    assert one_verdict([row(fast)], [row([], error="wrong answer: no")]) == ("no time", "B: wrong answer: no")


def test_peers_are_the_yardstick_of_separate_runs() -> None:
    fast, slow = [1.0] * 40, [1.5] * 40
    assert one_verdict([row(fast), row(fast, "faiss")], [row(slow), row(slow, "faiss")])[0] == "no difference"
    assert one_verdict([row(fast), row(fast, "faiss")], [row(slow), row(fast, "faiss")])[0] == "slower"
    # Two that disagree measure nothing.
    before, after = (
        [row(fast), row(fast, "faiss"), row(fast, "torch")],
        [row(slow), row(slow, "faiss"), row(fast, "torch")],
    )
    assert one_verdict(before, after)[0] == "no difference"
    newer = row(slow, "faiss", versions={"torch": "3", "headrace": "1"})
    assert one_verdict([row(fast), row(fast, "faiss")], [row(slow), newer])[0] == "slower"
    peer = compare(Results({}, rows=[row(fast, "faiss")]), Results({}, rows=[row(slow, "faiss")]))[0]
    assert peer.verdict == "no verdict"


def test_what_only_one_file_has_is_listed() -> None:
    a, b = Results({}, rows=[row([1.0], case="old")]), Results({}, rows=[row([1.0], case="new")])
    assert [(one.case, one.verdict, one.note) for one in alone(a, b)] == [
        ("old", "no verdict", "only in A"),
        ("new", "no verdict", "only in B"),
    ]
