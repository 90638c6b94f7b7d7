"""The suite must not lie: what is slowed is told, what is wrong has no time, what is the same is not told apart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from toy import bench
from typer.testing import CliRunner

from headrace.benchmarks.guard.turns import plan, take
from headrace.benchmarks.harness import runner
from headrace.benchmarks.harness.case import Provider
from headrace.benchmarks.harness.compare import Verdict, compare, paired
from headrace.benchmarks.harness.runner import Options, run
from headrace.benchmarks.harness.table import print_differences
from headrace.cli import app


class Busy:
    """A machine on which a call takes a millisecond, give or take what the neighbours do."""

    def __init__(self, seed: int) -> None:
        self._draw = np.random.default_rng(seed)

    def seconds(self, times: int, slower: float = 1.0) -> float:
        return float(1e-3 * slower * np.exp(self._draw.normal(0, 0.05, times)).mean())


def in_turns(seed: int, a_slower: float, b_slower: float, pairs: int = 0) -> tuple[float, float, Verdict]:
    """Rounds of both, as the guard takes them."""
    machine = Busy(seed)
    inner, planned = plan(*(min(machine.seconds(1, by) for _ in range(3)) for by in (a_slower, b_slower)))
    sides = (lambda by=by: machine.seconds(inner, by) for by in (a_slower, b_slower))
    return paired(*take(*sides, pairs or planned, seed))


def test_a_kernel_that_takes_a_quarter_longer_is_slower() -> None:
    ratio, noise, verdict = in_turns(0, 1.0, 1.25, pairs=200)
    assert verdict == "slower"
    assert ratio > noise
    assert in_turns(1, 1.25, 1.0, pairs=200)[2] == "faster"


def test_the_same_kernel_shows_no_difference_in_twenty_of_twenty_runs() -> None:
    assert [in_turns(seed, 1.0, 1.0)[2] for seed in range(20)] == ["no difference"] * 20


@pytest.fixture
def no_ceilings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner.ceilings, "measure", lambda *_, **__: [])


@pytest.mark.usefixtures("no_ceilings")
def test_a_wrong_answer_has_no_time() -> None:
    toy = bench(right={}, wrong={"wrong": True})
    failing = Provider("breaks", "peer", lambda given, case: lambda: 1 / 0)
    results = run(Options(), chosen=[replace(toy, providers=(*toy.providers, failing))])
    rows = {(row.case, row.provider): row for row in results.rows}
    assert rows["right", "headrace"].rounds
    assert rows["right", "headrace"].checked == "exact"
    for key in (("wrong", "headrace"), ("right", "breaks")):
        row = rows[key]
        assert (row.min, row.median, row.p99, row.rounds) == (None, None, None, [])
    assert rows["wrong", "headrace"].error == "wrong answer: ids differ from a float64 brute force [in brackets]"
    assert "ZeroDivisionError" in (rows["right", "breaks"].error or "")


@pytest.mark.usefixtures("no_ceilings")
def test_the_command_prints_no_time_for_a_wrong_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runner, "benches", lambda device: [bench(wrong={"wrong": True})])
    done = CliRunner().invoke(app, ["bench", "--out", str(tmp_path)], env={"COLUMNS": "200"})
    assert done.exit_code == 1
    line = next(line for line in done.output.splitlines() if "headrace" in line and "wrong" in line)
    assert line.split()[:4] == ["headrace", "-", "wrong", "answer:"]
    assert "[in brackets]" in done.output
    (file,) = tmp_path.glob("*.json")
    assert json.loads(file.read_text())["rows"][0]["median"] is None


@pytest.mark.usefixtures("no_ceilings")
def test_a_comparison_with_a_wrong_answer_prints_no_ratio() -> None:
    right, wrong = (run(Options(), chosen=[bench(one=ask)]) for ask in ({}, {"wrong": True}))
    console = Console(record=True, width=200)
    print_differences(compare(right, wrong), console)
    line = next(line for line in console.export_text().splitlines() if "toy" in line)
    assert "no time" in line
    assert "wrong answer" in line
    assert line.count(" - ") == 3
