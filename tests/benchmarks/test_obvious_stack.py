"""The obvious stack gives the pages that the engine gives, and without any of its kernels."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from headrace.benchmarks import bench_funnel
from headrace.benchmarks.bench_funnel import Inputs, agreement, check, lists_of
from headrace.benchmarks.funnel_snapshot import write
from headrace.benchmarks.harness.case import Case, Provider, Wrong
from headrace.benchmarks.harness.clock import Timing
from headrace.benchmarks.harness.runner import Options, run_case
from headrace.benchmarks.peers import obvious_recall
from headrace.benchmarks.peers.obvious_page import greedy, standardise
from headrace.benchmarks.peers.obvious_recall import exposed, merge, torch_flat
from headrace.benchmarks.peers.obvious_stack import ObviousStack
from headrace.data import generate
from headrace.kernels.diversity import Rules, dpp
from headrace.kernels.registry import Op
from headrace.serving import Engine
from headrace.settings import Settings
from headrace.types import Requests

USERS = 120


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    quotas = {"itemcf": 60, "two_tower": 80, "author_latest": 40, "popular_in_category": 40, "popular": 60}
    settings = Settings.model_validate({
        "channels": {name: {"quota": quota} for name, quota in quotas.items()},
        "merge": {"total": 150},
        "page": {"ranked": 80, "shown": 20},
        "exposure": {"fpr": 1e-5},
    })  # fmt: skip
    folder = tmp_path_factory.mktemp("funnel") / "snapshot"
    write(generate(users=USERS, items=400, events=6_000, seed=1).dataset, settings, folder, sample=1_000)
    return folder


@pytest.fixture(scope="module")
def engine(snapshot: Path) -> Engine:
    return Engine.load(snapshot)


@pytest.fixture(scope="module")
def stack(snapshot: Path) -> ObviousStack:
    return ObviousStack(snapshot, torch_flat)


def everyone(engine: Engine, batch: int) -> list[Requests]:
    """All users and an unknown one, in batches."""
    return [engine.requests(rows) for rows in np.array_split(np.arange(-1, USERS), -(-(USERS + 1) // batch))]


@pytest.mark.parametrize("batch", [1, 17, 121])
def test_pages_and_stages_are_the_engines(engine: Engine, stack: ObviousStack, batch: int) -> None:
    ours: dict[str, list[list[int]]] = defaultdict(list)
    theirs: dict[str, list[list[int]]] = defaultdict(list)
    for requests in everyone(engine, batch)[:30]:
        trace, served = engine.funnel.run(requests, 20), stack.run(requests, 20)
        assert list(lists_of(trace)) == list(served.items)
        assert [time.stage for time in trace.times] == list(served.seconds)
        for name, lists in lists_of(trace).items():
            ours[name] += lists
            theirs[name] += served.items[name]
        page = trace.page
        for b, items in enumerate(served.items["re-ranking"]):
            part = slice(int(page.offsets[b]), int(page.offsets[b + 1]))
            if page.item[part].tolist() == items:
                assert page.channels[part].tolist() == served.bits[b]
                assert page.score[part].tolist() == pytest.approx(served.scores[b], rel=1e-3)
    # Both rank by float32 sums in orders of their own, so near ties may fall either way.
    agreement(ours, theirs)


def test_faiss_finds_what_torch_finds(engine: Engine, snapshot: Path, stack: ObviousStack) -> None:
    pytest.importorskip("faiss")
    requests = everyone(engine, 60)[0]
    agreement(ObviousStack(snapshot).run(requests, 20).items, stack.run(requests, 20).items)


def test_no_kernel_of_headrace_is_called(engine: Engine, stack: ObviousStack, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(op: Op, *arguments: object) -> None:
        raise AssertionError(f"the obvious stack called {op.name}")

    monkeypatch.setattr(Op, "pick", refuse)
    requests = everyone(engine, 40)[0]
    stack.run(requests, 20)
    with pytest.raises(AssertionError, match="called"):
        engine.funnel.run(requests, 20)


def test_requests_from_before_the_end_of_the_log_are_refused(engine: Engine, stack: ObviousStack) -> None:
    with pytest.raises(ValueError, match=r"requests\.time: expected"):
        stack.run(engine.requests(np.array([3]), at=engine.as_of - 1), 20)


def test_merge_sums_reciprocal_ranks_and_cuts_ties_to_the_lower_item() -> None:
    merged = merge([[7, 3], [3, 9], [5]], 3)
    assert merged.items == [3, 5, 7]
    assert [merged.bits[item] for item in (3, 5, 7, 9)] == [3, 4, 1, 2]
    assert sorted(merge([[7, 3], [3, 9]], 3).items) == [3, 7, 9]


def test_exposures_are_sets_with_an_empty_one_for_the_unknown() -> None:
    assert exposed(np.array([1, 0, 1]), np.array([5, 6, 7]), 3) == [{6}, {5, 7}, set(), set()]


@pytest.mark.parametrize("window", [1, 4, 10, None])
@pytest.mark.parametrize("n", [1, 7, 33, 97])
def test_greedy_picks_what_the_definition_picks(n: int, window: int | None) -> None:
    rng = np.random.default_rng(n)
    vectors = rng.standard_normal((n, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rewards = standardise(rng.random(n).astype(np.float32))
    kinds = np.stack([rng.integers(-1, 3, n), rng.integers(-1, 2, n), rng.integers(-1, 4, n)]).astype(np.int32)
    limits = [(3, 2, 0), (4, 1, 0), (6, 2, 1)]
    rules = [(row.tolist(), span, most, bool(first)) for row, (span, most, first) in zip(kinds, limits, strict=True)]
    picked = greedy(vectors, rewards, rules, min(n, 12), 0.6, window)
    expected, _ = dpp(
        torch.from_numpy(vectors), torch.from_numpy(rewards), torch.tensor([0, n]), min(n, 12), 0.6, window,
        Rules(torch.from_numpy(kinds), torch.tensor(limits)), backend="reference",
    )  # fmt: skip
    assert picked == expected[0].tolist()


def test_equal_scores_standardise_to_zero() -> None:
    assert standardise(np.full(5, 0.3, np.float32)).tolist() == [0] * 5


@pytest.fixture
def inputs(snapshot: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Inputs:
    monkeypatch.setattr(bench_funnel, "_SECONDS", 0.01)
    return Inputs(snapshot, everyone(engine, 40), 20, memory=False)


def test_a_case_is_checked_timed_and_measured(inputs: Inputs) -> None:
    providers = [
        Provider(p.name, p.kind, p.prepare, measure=p.measure) for p in bench_funnel.BENCH.providers
    ]  # fmt: skip
    case = Case("funnel", "tiny", {"batch": 40, "items": 400}, lambda: inputs, check)
    rows = run_case(case, providers, Options())
    assert [row.error for row in rows] == [None, None]
    assert all("pages alike" in row.checked for row in rows)
    assert list(rows[0].metrics) == list(rows[1].metrics)
    assert {"requests_per_second", "cpu_seconds_per_1000_requests", "ms ranking"} <= set(rows[0].metrics)
    assert all(value >= 0 for row in rows for value in row.metrics.values())


def test_rates_are_those_of_the_rounds(inputs: Inputs) -> None:
    case = Case("funnel", "tiny", {"batch": 40}, lambda: inputs, check)
    call = bench_funnel.prepare_headrace(inputs, case)
    metrics = bench_funnel.measure(inputs, case, call, Timing([10.0, 20.0, 40.0], 1), "headrace")
    assert metrics["requests_per_second"] == 2000
    assert metrics["p50_ms_per_request"] == 0.5


@pytest.mark.slow
@pytest.mark.parametrize("who", ["headrace", "obvious stack"])
def test_peak_memory_is_that_of_a_process_of_its_own(snapshot: Path, who: str) -> None:
    if who != "headrace":
        pytest.importorskip("faiss")
    assert 50 < bench_funnel.peak_memory(who, snapshot, 8) / 2**20 < 4000


def test_other_pages_are_wrong() -> None:
    lists = {"merge": [[1, 2, 3]], "re-ranking": [[1, 2]]}
    assert agreement(lists, lists) == "1 of 1 pages alike, stages 100.00 %"
    with pytest.raises(Wrong, match="merge: only 50"):
        agreement(lists, {**lists, "merge": [[1, 2, 4]]})
    with pytest.raises(Wrong, match="re-ranking"):
        agreement(lists, {**lists, "re-ranking": [[1, 9]]})
    many = {"re-ranking": [[1, 2]] * 20}
    with pytest.raises(Wrong, match="only 18 of 20 pages"):
        agreement(many, {"re-ranking": [[2, 1]] * 2 + [[1, 2]] * 18})


def test_an_altered_stack_is_not_timed(inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ObviousStack.run

    def alter(stack: ObviousStack, requests: Requests, shown: int) -> object:
        served = run(stack, requests, shown)
        served.items["itemcf"] = [one[:-2] for one in served.items["itemcf"]]
        return served

    monkeypatch.setattr(ObviousStack, "run", alter)
    case = Case("funnel", "tiny", {"batch": 40}, lambda: inputs, check)
    with pytest.raises(Wrong, match="itemcf"):
        check(inputs, bench_funnel.prepare_obvious(inputs, case)())


def test_best_takes_ties_to_the_lower_item() -> None:
    items, scores = np.array([9, 4, 7, 2]), np.array([1.0, 2.0, 1.0, 1.0])
    assert obvious_recall.best(items, scores, 3) == [4, 2, 7]
