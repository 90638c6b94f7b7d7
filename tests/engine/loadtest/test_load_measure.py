"""Whole runs on fakes by a virtual clock: steps, the capacity sentence, errors, interruptions, the page."""

from __future__ import annotations

import json

import numpy as np
import pytest
from load_fakes import Slow, VirtualClock
from rich.console import Console

from headrace.kernels import settings
from headrace.kernels.settings import all_threads
from headrace.loadtest import EngineTarget, LoadReport, Plan, Users, measure, print_load, write_load
from headrace.loadtest.capacity import capacity, capacity_sentence, verdicts

PLAN = Plan(batch=1, seconds=8.0, warm_up=2.0, loads=(0.3, 0.6, 0.9, 1.3), slo_ms=100.0)


def run(plan=PLAN, **target):
    clock = VirtualClock()
    return measure(Slow(clock, **target), Users(np.arange(100)), plan, clock)


@pytest.fixture(scope="module")
def report() -> LoadReport:
    plan = Plan(
        batch=16, seconds=6.0, warm_up=1.0, loads=(0.2, 0.5, 0.8, 1.3), batches=(1, 4, 16, 64), workers_swept=(1, 2)
    )
    return run(plan, seconds=lambda call, users: 0.004 + 0.001 * len(users))


def test_a_run_finds_the_capacity_and_the_knee() -> None:
    report = run(seconds=lambda call, users: 0.01)
    assert report.closed.achieved == pytest.approx(100.0)
    assert [step.saturated for step in report.offered] == [False, False, False, True]
    rates = [step.achieved for step in report.offered]
    assert rates[:3] == pytest.approx([30, 60, 90], rel=0.25)
    assert rates[3] == pytest.approx(100.0, rel=0.02)
    assert report.offered[3].offered > 115
    p99 = [step.latency.p99 for step in report.offered]
    assert p99 == sorted(p99)
    best = capacity(report)
    assert not best.saturated
    assert best.latency.p99 <= 100.0
    assert capacity_sentence(report) == (
        f"fake: {best.achieved:.1f} requests/s at p99 <= 100 ms (one user a call, 1 connection)."
    )
    assert any("Saturated from" in verdict.text for verdict in verdicts(report))


def test_no_load_within_the_limit_is_said() -> None:
    report = run(Plan(batch=1, seconds=4.0, loads=(0.5, 0.9), slo_ms=5.0), seconds=lambda call, users: 0.01)
    assert capacity(report) is None
    assert "no offered load met p99 <= 5 ms" in capacity_sentence(report)
    assert next(v.good for v in verdicts(report)) is False


def test_a_sweep_that_ends_within_the_limit_says_at_least() -> None:
    report = run(Plan(batch=1, seconds=8.0, loads=(0.2, 0.3), slo_ms=200.0), seconds=lambda call, users: 0.01)
    assert ": at least " in capacity_sentence(report)
    assert any("above what was tried" in verdict.text for verdict in verdicts(report))


def test_requests_per_core_in_process() -> None:
    clock = VirtualClock()
    target = Slow(clock, lambda call, users: 0.01)
    target.in_process = True
    report = measure(target, Users(np.arange(10)), Plan(batch=1, seconds=5.0, loads=(0.5, 1.5), threads=1), clock)
    best = capacity(report)
    assert f"{best.achieved:.1f} requests/s per core at p99 <= 50 ms (one user a call, 1 thread, 1 call at once)" in (
        capacity_sentence(report)
    )
    assert report.closed.busy is not None


def test_errors_are_shown_with_their_reasons_and_disqualify_a_step() -> None:
    report = run(seconds=lambda call, users: 0.01, fails=lambda call: call > 0 and call % 50 == 0)
    assert all(step.errors for step in report.offered)
    assert capacity(report) is None
    found = next(verdict for verdict in verdicts(report) if "failed" in verdict.text)
    assert "by RuntimeError: call # broke" in found.text
    assert found.good is False
    assert "errors" in printed(report)


def test_a_target_that_dies_ends_the_run() -> None:
    report = run(seconds=lambda call, users: 0.01, fails=lambda call: call > 1000)
    assert report.closed is not None
    assert len(report.offered) < 4
    assert "none of" in report.failure
    assert "broke" in report.failure
    assert "The run ended early" in printed(report)


def test_a_first_request_that_fails_is_raised() -> None:
    with pytest.raises(RuntimeError, match="call 0 broke"):
        run(fails=lambda call: True)


def test_an_interrupted_run_keeps_the_steps_that_were_finished() -> None:
    clock = VirtualClock()
    told = []

    def tell(words: str) -> None:
        told.append(words)
        if len(told) == 4:
            raise KeyboardInterrupt

    report = measure(Slow(clock, lambda call, users: 0.01), Users(np.arange(10)), PLAN, clock, tell)
    assert told == ["closed loop", "offered 30%", "offered 60%", "offered 90%"]
    assert report.interrupted
    assert len(report.offered) == 2
    assert "interrupted" in printed(report)


def test_an_interrupt_in_the_middle_of_a_step_drops_the_step(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    clock = VirtualClock()
    waits = []

    def interrupted(futures):
        waits.append(len(futures))
        if len(waits) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("headrace.loadtest.loops.wait", interrupted)
    report = measure(Slow(clock, lambda call, users: 0.01), Users(np.arange(10)), PLAN, clock)
    assert report.interrupted
    assert report.closed is not None
    assert report.offered == []
    assert "nothing can be said" in capacity_sentence(report)
    printed(report)
    write_load(report, tmp_path)


def test_json_goes_there_and_back(report: LoadReport) -> None:
    assert LoadReport.from_json(report.to_json()) == report
    steps = json.loads(report.to_json())["offered"]
    assert {"p50", "p99", "p999", "max", "mean"} == set(steps[0]["latency"])


def test_every_part_is_printed_and_on_the_page(report: LoadReport, tmp_path) -> None:
    text = printed(report)
    for words in ("Latency and throughput", "Batch sizes", "Connections", "saturated", "What counting from the send"):
        assert words in text
    assert text.rstrip().endswith(capacity_sentence(report))
    files = write_load(report, tmp_path / "new" / "folder")
    assert [path.name for path in files] == ["load.json", "load.html"]
    page = files[1].read_text()
    assert page.count("<svg") == 6
    assert "<script" not in page
    assert "http" not in page.replace("http://127.0.0.1", "")
    assert page.index("Machine") < page.index("Latency and throughput")


def test_values_of_the_target_are_escaped(report: LoadReport, tmp_path) -> None:
    report = LoadReport.from_json(report.to_json())
    report.target = "GET <script>alert(1)</script>"
    assert "<script" not in write_load(report, tmp_path)[1].read_text()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch": 0}, "batch: expected at least 1, got 0"),
        ({"workers": 0}, "workers: expected at least 1, got 0"),
        ({"seconds": 0.0}, "seconds: expected more than 0, got 0.0"),
        ({"slo_ms": float("nan")}, "slo_ms: expected more than 0, got nan"),
        ({"warm_up": -1.0}, "warm_up: expected at least 0"),
        ({"loads": (0.5, 0.0)}, "loads: expected shares"),
        ({"batches": (4, 0)}, "batches: expected at least 1, got 0"),
    ],
)
def test_a_bad_plan_is_refused(changes, words) -> None:
    with pytest.raises(ValueError, match=words):
        Plan(**changes)


def test_users_come_round_in_a_seeded_order() -> None:
    users = Users(np.array(["a", "b", "c"]), seed=4)
    first = users.of(0, 3).tolist()
    assert sorted(first) == ["a", "b", "c"]
    assert users.of(2, 3).tolist() == [first[2], first[0], first[1]]
    assert Users(np.array(["a", "b", "c"]), seed=4).of(0, 3).tolist() == first
    with pytest.raises(ValueError, match="users: expected at least 1"):
        Users(np.zeros(0))


def test_an_engine_in_this_process(engine) -> None:
    target = EngineTarget(engine, 5)
    before = settings.get_threads()
    plan = Plan(batch=4, seconds=0.2, warm_up=0.05, loads=(0.5,), batches=(1, 2), threads_swept=(1,))
    report = measure(target, Users(engine.users.ids), plan)
    assert settings.get_threads() == before
    assert report.target == "400 items, 5 shown"
    assert [len(x) for x in (report.offered, report.batches, report.threads)] == [1, 2, 1]
    assert all(step.achieved > 0 and not step.errors for step in report.steps)
    with all_threads(1):
        assert settings.get_threads() == 1


def printed(report: LoadReport) -> str:
    console = Console(record=True, width=300)
    print_load(report, console)
    return console.export_text()
