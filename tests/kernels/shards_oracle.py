"""A catalogue of many ties, and the check that shards of it answer as one index over everything."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from headrace.kernels.index import TopKIndex
from headrace.kernels.sharded.shards import Answer

DIM = 7
#: Rows of the shards of each split.
SPLITS = [(200,), (137, 63), (64, 1, 135), (0, 50, 0, 65, 64, 21, 0)]


class Sharded(Protocol):
    def search(self, queries: Tensor, k: int, mask: Tensor | None = None) -> tuple[Tensor, Tensor]: ...
    def search_float64(self, queries: Tensor, k: int, mask: Tensor | None = None) -> Answer: ...


def integers(*shape: int, seed: int) -> Tensor:
    # Few values: most scores tie, within shards and across.
    return torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(seed)).float()


def some_ids(n: int) -> Tensor:
    return torch.randperm(5 * n, generator=torch.Generator().manual_seed(2))[:n]


def words(allowed: Tensor) -> Tensor:
    """int64 [..., n / 64] of bool [..., n], n a multiple of 64."""
    bits = allowed.unflatten(-1, (-1, 64)).long() << torch.arange(64)
    return bits.sum(-1)


def masks_for(ids: Tensor, whole: TopKIndex, *batch: int, share: float) -> tuple[Tensor, Tensor]:
    """A random mask in the order of `ids`, and the same in the order of the whole index."""
    draw = torch.rand(*batch, int(whole.ids.max()) + 1, generator=torch.Generator().manual_seed(4)) < share
    mine = draw[..., ids] & (ids >= 0)
    whole_bits = torch.nn.functional.pad(draw[..., whole.ids], (0, -len(whole.ids) % 64))
    return words(mine), words(whole_bits)


def assert_same(mine: tuple[Tensor, ...], whole: tuple[Tensor, ...]) -> None:
    for got, expected in zip(mine[:2], whole[:2], strict=True):
        assert got.dtype == expected.dtype
        assert torch.equal(got, expected)


def check_all(shards: Sharded, ids: Tensor, whole: TopKIndex) -> None:
    """ids: in the order of a mask's bits."""
    for n_queries, k in ((0, 3), (1, 1), (5, 20), (17, 100), (3, 300)):
        queries = integers(n_queries, DIM, seed=9)
        assert_same(shards.search_float64(queries, k), whole.search_float64(queries, k))
        assert_same(shards.search(queries, k), whole.search(queries, k))
        for batch in ((), (n_queries,)):
            for share in (0.0, 0.1, 0.7):
                mine, theirs = masks_for(ids, whole, *batch, share=share)
                expected = whole.search_float64(queries, k, theirs)
                assert_same(shards.search_float64(queries, k, mine), expected)
                assert_same(shards.search_float64(queries, k, mine.view(torch.uint64)), expected)


def bad_calls(queries: Tensor) -> list[tuple[type[Exception], str, tuple[object, ...]]]:
    nan = queries.clone()
    nan[2, 0] = torch.nan
    return [
        (ValueError, "queries: expected finite.* row 2", (nan, 3)),
        (ValueError, f"queries: expected {DIM} columns as in the index", (queries[:, :-1], 3)),
        (ValueError, "queries: expected 2 dimensions", (queries[0], 3)),
        (TypeError, "queries: expected float32", (queries.long(), 3)),
        (ValueError, "k: expected at least 1, got 0", (queries, 0)),
        (ValueError, r"mask: expected shape \[5\] or \[4, 5\]", (queries, 3, torch.zeros(4, dtype=torch.int64))),
        (TypeError, "mask: expected uint64 or int64", (queries, 3, torch.zeros(5))),
    ]
