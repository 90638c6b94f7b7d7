"""The clock, the results files and the comparison."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from headrace.benchmarks.harness.clock import Budget, interleave
from headrace.benchmarks.harness.compare import PAIRS, apart, compare, paired
from headrace.benchmarks.harness.results import Results, Row, summary


def row(provider: str = "headrace", kind: str = "headrace", rounds: list[float] | None = None, **more: Any) -> Row:
    head = {"op": "topk", "case": "B1", "params": {"batch": 1}, "suite": "quick", "axis": None, "threads": 2}
    stamp = {"isa": "avx2", "device": "cpu", "versions": {"torch": "2"}, "commit": "c", "time": "t"}
    return Row(**{**head, **stamp, "provider": provider, "kind": kind, **summary(rounds or [1.0, 2.0]), **more})


def test_rounds_are_taken_in_turns() -> None:
    order: list[str] = []
    calls = {name: (lambda name=name: order.append(name) or time.sleep(0.002)) for name in ("a", "b", "c")}  # type: ignore[misc, func-returns-value]
    timings = interleave(calls, Budget(0.02, 5, 5))
    assert all(len(timing.rounds) == 5 and timing.inner == 1 for timing in timings.values())
    timed = order[-15:]
    for start in range(0, 15, 3):
        assert set(timed[start : start + 3]) == {"a", "b", "c"}
    assert len({tuple(timed[start : start + 3]) for start in range(0, 15, 3)}) > 1


def test_a_slow_call_gets_fewer_rounds_spread_over_the_whole() -> None:
    order: list[str] = []
    calls = {
        "fast": lambda: order.append("fast") or time.sleep(0.001),  # type: ignore[func-returns-value]
        "slow": lambda: order.append("slow") or time.sleep(0.02),  # type: ignore[func-returns-value]
    }
    timings = interleave(calls, Budget(0.04, 2, 20))
    assert len(timings["slow"].rounds) < len(timings["fast"].rounds)
    timed = order[order.index("slow", 6) - 3 :]
    assert "fast" in timed
    assert min(timings["slow"].rounds) >= 20


def test_results_survive_a_file(tmp_path: Path) -> None:
    results = Results({"cpu": "x"}, [], [row(), row("FAISS", "peer", error="wrong", checked="")], [{"why": "absent"}])
    path = tmp_path / "folder" / "a.json"
    results.save(path)
    assert Results.load(path) == results
    assert [file.name for file in path.parent.iterdir()] == ["a.json"]


@pytest.mark.parametrize("damage", ["cut", "other", "format", "empty"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.json"
    Results({"cpu": "x"}, [], [row()]).save(path)
    text = path.read_text()
    damaged = {"cut": text[: len(text) // 2], "other": "[1, 2]", "format": text.replace('"format": 1', '"format": 9')}
    path.write_text(damaged.get(damage, ""))
    with pytest.raises(ValueError, match=r"a\.json: not a results file"):
        Results.load(path)


def test_paired_rounds_of_the_same_code_are_no_difference() -> None:
    for seed in range(20):
        draw = random.Random(seed)
        machine = [draw.uniform(1, 2) for _ in range(60)]
        a, b = ([drift * draw.lognormvariate(0, 0.05) for drift in machine] for _ in range(2))
        assert paired(a, b)[2] == "no difference"
        ratio, noise, verdict = paired(a, [1.2 * time for time in b])
        assert verdict == "slower"
        assert 1.1 < ratio < 1.3 < noise * 1.3
        assert paired([1.2 * time for time in a], b)[2] == "faster"


def test_few_pairs_give_no_verdict() -> None:
    assert paired([1.0] * (PAIRS - 1), [2.0] * (PAIRS - 1))[2] == "no difference"


def test_runs_apart_need_more_than_their_spread() -> None:
    assert apart([1.0, 1.1, 1.2, 1.5], [1.1, 1.2, 1.3, 1.6])[2] == "no difference"
    assert apart([1.0] * 10, [1.5] * 10)[2] == "slower"
    assert apart([1.0] * 10, [1.5] * 10, drift=1.5)[2] == "no difference"


def test_peers_tell_how_far_the_machine_moved() -> None:
    a = Results({}, [], [row(rounds=[1.0] * 9), row("FAISS", "peer", [2.0] * 9)])
    b = Results({}, [], [row(rounds=[2.0] * 9), row("FAISS", "peer", [4.0] * 9)])
    ours, peer = compare(a, b)
    assert ours.verdict == "no difference"
    assert ours.note == "peers moved 2.00x"
    assert peer.verdict == "no verdict"
    wrong = Results({}, [], [row(error="wrong answer: x", median=None, rounds=[])])
    assert compare(a, Results({}, [], [])) == []
    assert [one.verdict for one in compare(a, wrong)] == ["no time"]
