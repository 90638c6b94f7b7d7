"""What a call costs goes by what there is, not by the k or beam asked for; an absurd one is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from beam_oracle import random_model
from topk_vectors import normal
from torch import Tensor

from headrace import kernels
from headrace.kernels.checks import MOST_PADDED
from headrace.search.ann import AnnIndex

BACKENDS = ["reference", "native"]
FEW, QUERIES = normal(3, 4), normal(2, 4, seed=1)
MODEL, USERS = random_model(depth=2, nodes=3, user_dim=4, embed_dim=2, hidden=3), normal(2, 4)
LISTS = (normal(3, 4), torch.tensor([0.3, 0.1, 0.2]), torch.tensor([0, 1, 3]))
EDGES = kernels.Edges(torch.tensor([0, 2, 3]), torch.tensor([0, 1, 1]), torch.ones(3))
IDS = torch.tensor([5, 2**62, 9])


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    path: Path = tmp_path_factory.mktemp("group") / "store"
    dist.init_process_group("gloo", init_method=f"file://{path}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def two_segments() -> kernels.TopKIndex:
    index = kernels.TopKIndex(normal(1100, 4))
    index.add(FEW[:1], torch.tensor([2**40]))
    return index


def shards() -> kernels.TopKShards:
    return kernels.TopKShards([kernels.TopKIndex(FEW[:1], IDS[:1]), kernels.TopKIndex(FEW[1:], IDS[1:])])


#: Padded to k: scores and ids by k, and how many there are.
PADDED: dict[str, tuple[Callable[..., tuple[Tensor, Tensor]], int]] = {
    "topk": (lambda k, **how: kernels.topk(QUERIES, FEW, k, **how), 3),
    "topk of nothing": (lambda k, **how: kernels.topk(QUERIES, FEW[:0], k, **how), 0),
    "index": (lambda k, **how: kernels.TopKIndex(FEW, IDS).search(QUERIES, k, **how), 3),
    "packed": (lambda k, **how: kernels.TopKIndex(FEW, keep="none").search(QUERIES, k, **how), 3),
    "empty index": (lambda k, **how: kernels.TopKIndex(FEW[:0]).search(QUERIES, k, **how), 0),
    "segments": (lambda k, **how: two_segments().search(QUERIES, k, **how), 1101),
    "shards": (lambda k, **how: shards().search(QUERIES, k, **how), 3),
    "ranks": (lambda k, **how: kernels.TopKRanks(kernels.TopKIndex(FEW, IDS)).search(QUERIES, k, **how), 3),
    "ann": (lambda k, **_: AnnIndex(normal(300, 4), method="lsh", fallback="never").search(QUERIES, k), 300),
    "dpp": (lambda k, **how: kernels.dpp(*LISTS, k, **how)[::-1], 2),
    "mmr": (lambda k, **how: kernels.mmr(*LISTS, k, **how)[::-1], 2),
    "beam": (lambda k, **how: kernels.beam_search(USERS, MODEL, k, **how)[::-1], 9),
}
#: As long as what there is.
RAGGED: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "segment_topk": lambda k, **how: kernels.segment_topk(torch.tensor([0, 1, 3]), LISTS[1], torch.arange(3), k, **how),
    "pool_items": lambda k, **how: kernels.pool_items(torch.tensor([[0, 1, 3]]), torch.arange(3), k, **how),
    "two_hop": lambda k, **how: kernels.two_hop(torch.tensor([0, 1]), EDGES, EDGES, k, **how),
    "two_hop by share": lambda k, **how: kernels.two_hop(torch.tensor([0, 1]), EDGES, EDGES, k, share=True, **how),
}


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", PADDED)
def test_padded_results_are_bounded(name: str, backend: str) -> None:
    call, there = PADDED[name]
    scores, ids = call(max(there, 1), backend=backend)
    wide_scores, wide_ids = call(MOST_PADDED, backend=backend)
    assert wide_scores.shape == (2, MOST_PADDED)
    assert wide_ids.shape[:2] == (2, MOST_PADDED)
    width = max(there, 1)
    assert torch.equal(wide_ids[:, :width], ids)
    assert torch.equal(wide_scores[:, :width], scores)
    assert bool((wide_ids[:, width:] == -1).all())
    assert bool(wide_scores[:, width:].isneginf().all())
    for k in (MOST_PADDED + 1, 10**8, 2**31, 2**63 - 1, 2**63, 10**30):
        with pytest.raises(ValueError, match=f"(k|beam): expected at most {MOST_PADDED}, got {k}$"):
            call(k, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", RAGGED)
def test_ragged_results_take_any_k(name: str, backend: str) -> None:
    expected = RAGGED[name](3, backend=backend)
    for k in (10**8, 2**31, 2**63 - 1):
        for mine, theirs in zip(RAGGED[name](k, backend=backend), expected, strict=True):
            assert torch.equal(mine, theirs)
    for k in (2**63, 10**30):
        with pytest.raises(ValueError, match=f"k: expected at most {2**63 - 1}, got {k}"):
            RAGGED[name](k, backend=backend)


def test_all_of_a_large_catalogue_may_be_asked_for() -> None:
    items, count = torch.arange(70_000.0)[:, None], 70_000
    queries = torch.ones(1, 1)
    split = [kernels.TopKIndex(items[:99]), kernels.TopKIndex(items[99:], torch.arange(99, count))]
    for ids in (
        kernels.topk(queries, items, count)[1],
        kernels.TopKIndex(items).search(queries, count)[1],
        kernels.TopKShards(split).search(queries, count)[1],
    ):
        assert torch.equal(ids[0], torch.arange(count).flip(0))
    with pytest.raises(ValueError, match="k: expected at most 70000, got 70001"):
        kernels.topk(queries, items, count + 1)


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("backend", BACKENDS)
def test_only_padding_has_a_score_of_minus_infinity(backend: str) -> None:
    most = torch.finfo(torch.float32).max
    items, query = torch.full((3, 4), 3e38) * torch.tensor([[1.0], [0.0], [-1.0]]), torch.full((1, 4), 2e38)
    index = kernels.TopKIndex(items)
    for search in (
        lambda: kernels.topk(query, items, 4, backend=backend),
        lambda: index.search(query, 4, backend=backend),
        lambda: kernels.TopKShards([index]).search(query, 4, backend=backend),
        lambda: kernels.TopKRanks(index).search(query, 4, backend=backend),
    ):
        scores, ids = search()
        assert ids.tolist() == [[0, 1, 2, -1]]
        assert scores.tolist() == [[most, 0.0, -most, -torch.inf]]
    far = kernels.topk(query, items, 4, "l2", backend=backend)[0]
    assert far.tolist() == [[-most, -most, -most, -torch.inf]]


def test_a_window_and_a_limit_beyond_all_numbers_are_refused() -> None:
    for pick in (kernels.dpp, kernels.mmr):
        assert torch.equal(pick(*LISTS, 2, window=2**63 - 1)[0], pick(*LISTS, 2)[0])
        with pytest.raises(ValueError, match="window: expected at most"):
            pick(*LISTS, 2, window=2**63)
    with pytest.raises(ValueError, match="limit: expected at most"):
        kernels.two_hop(torch.tensor([0]), EDGES, EDGES, 1, limit=2**63)
