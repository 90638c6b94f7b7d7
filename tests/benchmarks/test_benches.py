"""Every provider of every benchmark answers its smallest cases rightly, and a wrong one is not timed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from headrace.benchmarks import bench_beam_search as beam
from headrace.benchmarks import (
    bench_bloom,
    bench_channels,
    bench_dpp,
    bench_embedding_bag,
    bench_itemcf,
    bench_mmr,
    bench_topk,
)
from headrace.benchmarks import bench_closeness as close
from headrace.benchmarks import bench_lookup_pairs as lookup
from headrace.benchmarks import bench_network as networks
from headrace.benchmarks import bench_pool_items as pool
from headrace.benchmarks import bench_segment_topk as segment
from headrace.benchmarks import bench_topk_large as large
from headrace.benchmarks import bench_topk_sharded as sharded
from headrace.benchmarks import bench_two_hop as two_hop
from headrace.benchmarks.harness.case import Bench, Case, Near, Provider, Wrong
from headrace.benchmarks.harness.keep import forget
from headrace.benchmarks.harness.runner import Options, benches, run
from headrace.benchmarks.harness.threads import pin
from headrace.benchmarks.lists import EPS, THETA, Floats, greedy
from headrace.kernels import settings

SMALL = [
    bench_topk._case(5, 3000, 16, 20),
    bench_topk._case(5, 3000, 16, 20, "clustered"),
    bench_topk._case(5, 3000, 16, 20, "duplicates"),
    bench_topk._case(5, 3000, 16, 20, metric="cosine"),
    bench_topk._case(5, 3000, 16, 20, metric="l2"),
    bench_topk._case(5, 3000, 16, 20, share=0.5),
    bench_topk._case(5, 3000, 16, 20, share=0.1),
    large._case(5, 3000, 16, 20),
    sharded._case(5, 3000),
    bench_dpp._case(3, 60, 16, 12, 5),
    bench_dpp._case(3, 60, 16, 12, None),
    bench_mmr._case(3, 60, 16, 12, 5),
    bench_dpp._case(9, 60, 16, 12, 5, 3),
    bench_dpp._case(3, 60, 16, 12, None, 2),
    bench_mmr._case(3, 60, 16, 12, None),
    bench_mmr._case(9, 60, 16, 12, 5, 3),
    bench_channels._case(500, 3, 60, 3000),
    bench_bloom._contains(3, 400, 300),
    bench_bloom._big(2000, 1000),
    bench_bloom._insert(3, 400),
    bench_embedding_bag._case(3, 5, rows=50),
    bench_embedding_bag._case(3, 5, "bfloat16", rows=50),
    bench_embedding_bag._case(3, 5, "int8", rows=50),
    beam._case(3, 3, 12, beam=7),
    bench_itemcf._case(300, 80, 4000, 5),
    bench_itemcf._case(300, 2000, 500, 5),
    bench_itemcf._shape(300, 90, 3000, 5),
    networks._case(9, 13, items=1000),
    networks._case(1, 13, items=1000),
    networks._towers(5, 31, items=1000),
    networks._crosses(5, 13, items=1000),
    segment._case(5, 40, 33, items=1000),
    segment._case(5, 700, 16, items=1000),
    close._case(9, 33, 5, items=1000),
    pool._case(3, items=4000),
    lookup._case(5, 65, items=1000, users=300),
    two_hop._case(3, 20, 50),
]
OF = {"bloom_contains": "bloom", "bloom_insert": "bloom"}


@pytest.fixture(autouse=True)
def same_threads_afterwards() -> Iterator[None]:
    before = settings.get_threads()
    yield
    forget()
    pin(before)


@pytest.fixture(scope="module")
def known() -> dict[str, Bench]:
    return {bench.op: bench for bench in benches()}


@pytest.mark.parametrize("case", SMALL, ids=lambda case: f"{case.op} {case.name}".replace(" ", "-"))
def test_every_installed_provider_is_right(case: Case, known: dict[str, Bench]) -> None:
    inputs = case.inputs()
    served = [p for p in known[OF.get(case.op, case.op)].providers if p.device == "cpu" and p.serves(case)]
    assert any(provider.kind == "headrace" for provider in served)
    for provider in served:
        if provider.missing():
            continue
        with warnings.catch_warnings():
            if provider.kind == "peer":
                warnings.simplefilter("ignore")
            assert case.judge(provider.kind, inputs, provider.prepare(inputs, case)()), provider.name


@pytest.mark.parametrize("case", SMALL, ids=lambda case: f"{case.op} {case.name}".replace(" ", "-"))
def test_a_damaged_answer_is_wrong_or_near(case: Case, known: dict[str, Bench]) -> None:
    inputs = case.inputs()
    ours = next(p for p in known[OF.get(case.op, case.op)].providers if p.kind == "headrace")
    answer = ours.prepare(inputs, case)()
    if case.op == "bloom_insert":
        found = answer()
        with pytest.raises(Wrong):
            case.judge("headrace", inputs, lambda: ~found)
        return
    if case.op == "itemcf":
        damaged = answer.copy()
        damaged.indices = (damaged.indices + 1) % damaged.shape[0]
    elif case.op == "bloom_contains":
        damaged = torch.zeros_like(answer)
    elif case.op == "pool_items":
        damaged = answer[0], *(part.flip(0) for part in answer[1:])
    elif case.op == "segment_topk":
        damaged = answer.flip(0)
    elif case.op == "channels":
        damaged = [answer[0], *answer[2:], answer[1]]
    elif case.op == "two_hop":
        damaged = (answer[0], answer[1].flip(0), answer[2])
    else:
        damaged = answer.clone()
        damaged[0] = damaged[0].flip(0)
    with pytest.raises(Wrong):
        case.judge("headrace", inputs, damaged)


def test_only_a_peer_may_be_near() -> None:
    case = Case("op", "case", {}, lambda: None, lambda inputs, answer: Near(0.98766, "of ids"))
    assert case.judge("peer", None, None) == "98.76 % of ids"
    for kind in ("headrace", "reference"):
        with pytest.raises(Wrong, match=r"98.76 % of ids"):
            case.judge(kind, None, None)  # type: ignore[arg-type]


def test_every_suite_is_whole(known: dict[str, Bench]) -> None:
    assert set(known) >= {"topk", "dpp", "mmr", "bloom", "embedding_bag", "beam_search", "itemcf"}
    assert set(known) >= {"network", "segment_topk", "pool_items", "lookup_pairs"}
    assert set(known) >= {"closeness", "two_hop", "topk_sharded"}
    for bench in known.values():
        names = [(case.op, case.name) for case in bench.cases]
        assert len(names) == len(set(names)), bench.op
        assert any("quick" in case.suites for case in bench.cases)
        assert all("full" in case.suites for case in bench.cases)
        for case in bench.cases:
            assert case.axis is None or isinstance(case.params[case.axis], int)
            # A machine may be too small for the largest.
            fits = bench.op != "topk_large" or "quick" in case.suites
            assert not fits or any(provider.serves(case) for provider in bench.providers)


def test_the_brute_force_maximises_the_determinant() -> None:
    """The truth of the DPP cases picks what the determinant of the picked vectors' Gram matrix says, by slogdet."""
    draw = np.random.default_rng(0)
    vectors = draw.standard_normal((40, 12))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rewards = draw.random(40)

    def gain(vectors: Floats, picked: list[int]) -> Floats:
        def volume(items: list[int]) -> float:
            return float(np.linalg.slogdet(vectors[items] @ vectors[items].T)[1]) if items else 0.0

        rest = [i if i not in picked else -1 for i in range(len(vectors))]
        raised = [volume([*picked, i]) - volume(picked) if i >= 0 else -np.inf for i in rest]
        return (1 - THETA) * np.maximum(raised, np.log(EPS))

    for window in (None, 4):
        expected = greedy(vectors, rewards, 10, window, gain)
        assert greedy(vectors, rewards, 10, window, bench_dpp.log_volume) == expected


def _toy(*providers: Provider) -> Bench:
    def check(inputs: int, answer: int) -> str:
        if abs(answer - inputs) == 1:
            raise Wrong(f"expected {inputs}, got {answer}")
        return "exact" if answer == inputs else Near(inputs / answer, "of seven")

    case = Case("toy", "seven", {"n": 7}, lambda: 7, check)
    return Bench("toy", "Toy", (case, replace(case, name="on 3", params={"threads": 1})), providers)


def test_what_is_wrong_or_fails_has_no_time_and_what_is_missing_is_left_out(tmp_path: Path) -> None:
    bench = _toy(
        Provider("right", "headrace", lambda inputs, case: lambda: 7),
        Provider("wrong", "headrace", lambda inputs, case: lambda: 8),
        Provider("near", "peer", lambda inputs, case: lambda: 10),
        Provider("fails", "peer", lambda inputs, case: lambda: 1 // 0),
        Provider("absent", "peer", lambda inputs, case: lambda: 7, needs=("no_such_module",)),
        Provider("unfit", "peer", lambda inputs, case: lambda: 7, serves=lambda case: False, why="too slow"),
    )
    results = run(Options(cases=("seven",)), chosen=[bench])
    results.save(tmp_path / "results.json")
    rows = {row.provider: row for row in results.rows}
    assert set(rows) == {"right", "wrong", "near", "fails"}
    assert rows["right"].checked == "exact"
    assert rows["right"].median is not None
    assert rows["near"].checked == "70.00 % of seven"
    assert rows["near"].metrics == {"share right": 0.7}
    for name, error in (("wrong", "expected 7, got 8"), ("fails", "ZeroDivisionError")):
        assert rows[name].median is None
        assert rows[name].rounds == []
        assert error in (rows[name].error or "")
    assert {entry["provider"]: entry["why"] for entry in results.skipped} == {
        "absent": "no_such_module: not installed",
        "unfit": "too slow",
    }


def test_a_case_may_set_its_threads() -> None:
    seen: list[int] = []
    bench = _toy(Provider("right", "headrace", lambda inputs, case: seen.append(settings.get_threads()) or (lambda: 7)))
    results = run(Options(cases=("on 3",)), chosen=[bench])
    assert seen == [1]
    assert results.rows[0].threads == 1
    many = replace(bench, cases=tuple(replace(case, params={"threads": 2}) for case in bench.cases))
    with pytest.raises(ValueError, match="no case of suite quick"):
        run(Options(threads=1), chosen=[many])


def test_what_is_asked_for_must_exist() -> None:
    bench = _toy(Provider("absent", "peer", lambda inputs, case: lambda: 7, needs=("no_such_module",)))
    with pytest.raises(ValueError, match="op: expected one of toy, got 'topq'"):
        run(Options(ops=("topq",)), chosen=[bench])
    with pytest.raises(ValueError, match="has 'eight' in its name"):
        run(Options(cases=("eight",)), chosen=[bench])
    with pytest.raises(ImportError, match="no_such_module: not installed"):
        run(Options(peers="all"), chosen=[bench])


def test_a_module_that_does_not_load_is_told_apart(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "broken_peer.py").write_text("raise OSError('undefined symbol')")
    monkeypatch.syspath_prepend(str(tmp_path))
    provider = Provider("broken", "peer", lambda inputs, case: lambda: 7, needs=("broken_peer",))
    assert provider.missing() == ["broken_peer: installed, but does not load (OSError)"]
