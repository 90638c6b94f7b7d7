"""Joining the answers of searches over parts of a catalogue."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from headrace.kernels import TopKIndex
from headrace.kernels.index.merge import _merge_sorted, merge_best

PARTS = (1, 7, 60, 97)


def integers(*shape: int, seed: int) -> Tensor:
    # Few values: most scores tie.
    return torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(seed)).float()


@pytest.mark.parametrize("k", [1, 5, 64, 200])
@pytest.mark.parametrize("n_queries", [0, 1, 9])
def test_parts_answer_as_the_whole(k: int, n_queries: int) -> None:
    items, queries = integers(sum(PARTS), 3, seed=1), integers(n_queries, 3, seed=2)
    ids = torch.randperm(1000, generator=torch.Generator().manual_seed(3))[: len(items)]
    scores, found, _ = TopKIndex(items, ids).search_float64(queries, k)
    pairs = zip(items.split(PARTS), ids.split(PARTS), strict=True)
    parts = [TopKIndex(*pair).search_float64(queries, k) for pair in pairs]
    score_lists, id_lists = [part[0] for part in parts], [part[1] for part in parts]
    in_one = _merge_sorted(torch.cat(score_lists, 1), torch.cat(id_lists, 1), k)
    for merged in (merge_best(score_lists, id_lists, k), in_one):
        assert torch.equal(merged[0], scores)
        assert torch.equal(merged[1], found)


def test_lists_of_unequal_width_and_items_of_score_minus_infinity() -> None:
    scores = [torch.tensor([[3.0, -torch.inf]]).double(), torch.tensor([[3.0, 1.0, -torch.inf]]).double()]
    ids = [torch.tensor([[5, 9]]), torch.tensor([[2, 7, -1]])]
    merged, names = merge_best(scores, ids, 6)
    assert names.tolist() == [[2, 5, 7, 9, -1, -1]]
    assert merged.tolist() == [[3.0, 3.0, 1.0, -torch.inf, -torch.inf, -torch.inf]]
