"""What the top-k benchmarks ask, and what a brute force in float64 answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.benchmarks.harness.case import Near, Wrong
from headrace.benchmarks.vectors import make_items, make_queries

#: Queries whose answers are checked, and the least share of their ids that a peer must find.
CHECKED, ENOUGH = 4, 0.5
_BLOCK = 100_000


@dataclass(frozen=True)
class Search:
    """queries float32 [B, d], items float32 [N, d]; allowed: bool [N], None for all items."""

    queries: Tensor
    items: Tensor
    k: int
    metric: str
    allowed: Tensor | None

    @cached_property
    def mask(self) -> Tensor | None:
        """The allowed items as bits, int64 [ceil(N/64)]."""
        if self.allowed is None:
            return None
        bits = np.packbits(self.allowed.numpy(), bitorder="little")
        return torch.from_numpy(np.pad(bits, (0, -len(bits) % 8)).view(np.int64))

    @cached_property
    def checked(self) -> NDArray[np.int64]:
        """The queries that are checked, from the first to the last."""
        return np.unique(np.linspace(0, len(self.queries) - 1, CHECKED).astype(int))

    @cached_property
    def truth(self) -> NDArray[np.int64]:
        """The ids of the checked queries by scores in float64, equal scores to the lower id."""
        queries = self.queries.numpy()[self.checked].astype(np.float64)
        scores = np.concatenate([self._scores(block.numpy(), queries) for block in self.items.double().split(_BLOCK)])
        if self.allowed is not None:
            scores[~self.allowed.numpy()] = -np.inf
        ids = np.arange(len(scores))
        return np.stack([_best(column, ids, self.k) for column in scores.T])

    def _scores(self, items: NDArray[np.float64], queries: NDArray[np.float64]) -> NDArray[np.float64]:
        # Not BLAS: it rounds a row by where it lies, and equal items must tie.
        if self.metric == "l2":
            return np.stack([-np.square(items - query).sum(1) for query in queries], 1)
        products = np.stack([np.einsum("nd,d->n", items, query) for query in queries], 1)
        if self.metric == "cosine":
            products /= np.linalg.norm(items, axis=1)[:, None] * np.linalg.norm(queries, axis=1)
        return products


def _best(scores: NDArray[np.float64], ids: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    found = np.flatnonzero(scores >= least)
    order: NDArray[np.int64] = ids[found][np.lexsort((found, -scores[found]))[:k]]
    return order


def make_search(batch: int, items: int, dim: int, k: int, data: str, metric: str, share: float) -> Search:
    """data: as in `make_items`. share: of the items that are allowed."""
    catalogue = make_items(data, items, dim)
    queries = make_queries(data, batch, items, dim)
    generator = torch.Generator().manual_seed(2)
    allowed = torch.rand(items, generator=generator) < share if share < 1 else None
    return Search(queries, catalogue, k, metric, allowed)


def check(search: Search, answer: Any) -> str:
    got = np.asarray(answer)
    if got.shape != (len(search.queries), search.k):
        raise Wrong(f"expected ids of shape {(len(search.queries), search.k)}, got {got.shape}")
    got = got[search.checked].astype(np.int64)
    if np.array_equal(got, search.truth):
        return "exact"
    found = [np.isin(row, true).mean() for row, true in zip(got, search.truth, strict=True)]
    share = float(np.mean(found))
    if share < ENOUGH:
        raise Wrong(f"only {share:.1%} of the ids are among a brute force's {search.k}")
    return Near(share, "of ids" if share < 1 else "of ids, near ties swapped")
