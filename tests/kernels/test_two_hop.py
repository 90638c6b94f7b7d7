import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from headrace.kernels import settings
from headrace.kernels.two_hop import Edges, two_hop

BACKENDS = ("reference", "native")
NODES, ITEMS = 11, 40


def edges(
    sources: int, targets: int, longest: int, seed: int, weighted: bool = True, timed: bool = False, whole: bool = False
) -> Edges:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, longest + 1, sources)
    target = rng.integers(0, targets, counts.sum())
    weight = rng.integers(1, 9, len(target)) / (1 if whole else 7)
    # Latest first within each list, with equal times among them.
    times = [np.sort(rng.integers(0, 9, n))[::-1] for n in counts]
    return Edges(
        torch.from_numpy(np.append(0, np.cumsum(counts))),
        torch.from_numpy(target),
        torch.from_numpy(weight.astype(np.float32)) if weighted else None,
        torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *times])) if timed else None,
    )


def rows(edges: Edges, node: int) -> range:
    return range(int(edges.offsets[node]), int(edges.offsets[node + 1]))


def brute(
    users: list[int], seeds: Edges, items: Edges, k: int, limit: int | None, share: bool, now: list[int]
) -> list[list[tuple[int, float]]]:
    pages = []
    for user, time in zip(users, now, strict=True):
        total: dict[int, float] = {}
        mine = rows(seeds, user) if user >= 0 else range(0)
        whole = sum(float(seeds.weight[e]) for e in mine)
        for e in mine:
            seen = [i for i in rows(items, int(seeds.target[e])) if items.time is None or int(items.time[i]) <= time]
            weight = float(seeds.weight[e])
            seen = seen[:limit]
            if share:
                seen = seen[: math.ceil(k * weight / whole)]
                weight /= whole
            for rank, i in enumerate(seen, 1):
                item = int(items.target[i])
                worth = weight / rank if items.weight is None else weight * float(items.weight[i])
                total[item] = total.get(item, 0.0) + worth
        rounded = {item: float(np.float32(value)) for item, value in total.items()}
        best = sorted(rounded, key=lambda item: (-rounded[item], item))[:k]
        pages.append([(item, rounded[item]) for item in best])
    return pages


def pages_of(answer: tuple[torch.Tensor, ...]) -> list[list[tuple[int, float]]]:
    offsets, item, score = (tensor.tolist() for tensor in answer)
    found = list(zip(item, score, strict=True))
    return [found[a:b] for a, b in pairwise(offsets)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch", [0, 1, 7, 33])
@pytest.mark.parametrize(("weighted", "timed"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("share", [False, True])
def test_equals_a_brute_force(backend: str, batch: int, weighted: bool, timed: bool, share: bool) -> None:
    rng = np.random.default_rng(batch)
    users, now = torch.from_numpy(rng.integers(-1, 9, batch)), torch.from_numpy(rng.integers(-1, 10, batch))
    for longest in (0, 1, 17, 65):
        seeds = edges(9, NODES, 9, longest, whole=share)
        items = edges(NODES, ITEMS, longest, longest + 1, weighted, timed)
        for k, limit in ((1, None), (7, 3), (16, 16), (1000, None)):
            answer = two_hop(users, seeds, items, k, limit=limit, share=share, now=now, backend=backend)
            assert pages_of(answer) == brute(users.tolist(), seeds, items, k, limit, share, now.tolist())
            assert [tensor.dtype for tensor in answer] == [torch.int64, torch.int64, torch.float32]


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_item_reached_by_several_ways_adds_up(backend: str) -> None:
    seeds = Edges(torch.tensor([0, 3]), torch.tensor([1, 0, 1]), torch.tensor([2.0, 1.0, 4.0]))
    items = Edges(torch.tensor([0, 2, 4]), torch.tensor([8, 5, 5, 9]), torch.tensor([0.5, 0.25, 1.0, 3.0]))
    found = two_hop(torch.tensor([0]), seeds, items, 9, backend=backend)
    assert pages_of(found) == [[(9, 18.0), (5, 6.25), (8, 0.5)]]
    shared = two_hop(torch.tensor([0]), seeds, items, 1, share=True, backend=backend)
    assert pages_of(shared) == [[(5, pytest.approx(6 / 7))]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_ranks_begin_at_the_first_item_there_is(backend: str) -> None:
    seeds = Edges(torch.tensor([0, 1]), torch.tensor([0]), torch.tensor([6.0]))
    items = Edges(torch.tensor([0, 4]), torch.arange(4), time=torch.tensor([30, 20, 20, 10]))
    for now, expected in ((9, []), (10, [(3, 6.0)]), (25, [(1, 6.0), (2, 3.0), (3, 2.0)])):
        assert pages_of(two_hop(torch.tensor([0]), seeds, items, 9, now=torch.tensor([now]), backend=backend)) == [
            expected
        ]
    one = two_hop(torch.tensor([0]), seeds, items, 9, limit=1, now=torch.tensor([25]), backend=backend)
    assert pages_of(one) == [[(1, 6.0)]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_tables_without_rows(backend: str) -> None:
    nothing = Edges(torch.zeros(1, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), torch.zeros(0))
    answer = two_hop(torch.tensor([-1, -1]), nothing, nothing, 5, backend=backend)
    assert answer[0].tolist() == [0, 0, 0]


def test_the_same_for_every_thread_count_and_caller() -> None:
    seeds, items = edges(90, NODES, 60, 1), edges(NODES, 500, 97, 2)
    users = torch.arange(90)
    expected = two_hop(users, seeds, items, 50, threads=1)

    def same(threads: int) -> bool:
        got = two_hop(users, seeds, items, 50, threads=threads)
        return all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))

    assert same(2)
    assert same(3)
    for level in settings.usable_isas():
        with settings.isa(level):
            assert same(2)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(same, [1, 2] * 8))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"users": torch.tensor([1])}, ValueError, "users: expected rows from -1 to 0, got 1"),
        ({"users": torch.tensor([-2])}, ValueError, "users: expected rows from -1 to 0, got -2"),
        ({"users": torch.zeros(1)}, TypeError, "users: expected int64"),
        ({"k": 0}, ValueError, "k: expected at least 1, got 0"),
        ({"limit": 0}, ValueError, "limit: expected at least 1, got 0"),
        ({"now": None}, ValueError, "now: expected the times of the requests"),
        ({"now": torch.tensor([1, 2])}, ValueError, "now: expected 1 entries"),
        ({"node": 2}, ValueError, "seeds.target: expected 0 to 1, got 2"),
        ({"node": -1}, ValueError, "seeds.target: expected 0 to 1, got -1"),
        ({"weight": None}, ValueError, "seeds.weight: expected weights, got None"),
        ({"weight": torch.zeros(1), "share": True}, ValueError, "seeds.weight: expected sums above 0"),
    ],
)
def test_bad_arguments(backend: str, change: dict[str, object], error: type[Exception], words: str) -> None:
    change = dict(change)
    seeds = Edges(torch.tensor([0, 1]), torch.tensor([change.pop("node", 0)]), torch.ones(1))
    seeds = replace(seeds, weight=change.pop("weight", seeds.weight))
    items = Edges(torch.tensor([0, 1, 1]), torch.tensor([4]), time=torch.tensor([3]))
    good = {"users": torch.tensor([0]), "seeds": seeds, "items": items, "k": 3, "now": torch.tensor([5])}
    with pytest.raises(error, match=words):
        two_hop(**{**good, **change}, backend=backend)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"offsets": torch.tensor([0, 2, 1, 3])}, ValueError, "offsets: expected no falling entries"),
        ({"offsets": torch.tensor([0, 2])}, ValueError, "offsets: expected to run from 0 to 3, got 0 to 2"),
        ({"target": torch.zeros(3)}, TypeError, "target: expected int64"),
        ({"weight": torch.ones(3).long()}, TypeError, "weight: expected float32"),
        ({"weight": torch.ones(2)}, ValueError, "weight: expected 3 entries"),
        ({"weight": torch.tensor([1.0, math.nan, 1.0])}, ValueError, "weight: expected finite numbers"),
        ({"time": torch.tensor([1, 2, 3])}, ValueError, "time: expected no rise within a list"),
    ],
)
def test_bad_edges(change: dict[str, torch.Tensor], error: type[Exception], words: str) -> None:
    good = {"offsets": torch.tensor([0, 2, 2, 3]), "target": torch.arange(3), "time": torch.tensor([2, 1, 9])}
    Edges(**good)
    with pytest.raises(error, match=words):
        Edges(**{**good, **change})


def test_as_a_torch_operator() -> None:
    seeds, items = edges(3, 5, 4, 1), edges(5, 9, 4, 2, timed=True)
    tables = (seeds.offsets, seeds.target, seeds.weight, items.offsets, items.target, items.weight, items.time)
    arguments = (torch.tensor([0, 2]), torch.tensor([4, 8]), *tables, 9, True, 3, "auto", 0)
    torch.library.opcheck(torch.ops.headrace.two_hop, arguments, test_utils=("test_schema", "test_faketensor"))
