"""Exact top-k: the items of a catalogue that score best for each query."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.edge import FLOATS, WORDS, takes
from headrace.kernels.registry import Op
from headrace.kernels.topk.checks import METRICS, check_search

__all__ = ["METRICS", "topk"]

_MOST = torch.finfo(torch.float32).max
OP = Op("topk", __name__, "exact top-k by inner product, cosine or distance", ("scalar", "avx2", "avx512"))


@takes(queries=FLOATS, items=FLOATS, mask=WORDS)
def topk(
    queries: Tensor,
    items: Tensor,
    k: int,
    metric: str = "ip",
    mask: Tensor | None = None,
    *,
    backend: str = "auto",
    threads: int = 0,
) -> tuple[Tensor, Tensor]:
    """The k items that score best for each query, best first; equal scores go to the lower id.

    queries: float32 [B, d]. items: float32 [N, d], d from 1 to 65536, N below 2^31.
    k: at most 65,536, or N where that is more.
    metric: "ip" (q.x), "cosine" (q.x / |q||x|, 0 where either is the zero vector) or "l2" (minus the squared distance).
    mask: bitset of the items that may be returned, uint64 or int64 words, [ceil(N/64)] for all queries or
        [B, ceil(N/64)]; item i is bit i % 64 of word i // 64. Items that no query may have are not read.
    threads: at most this many on a CPU; 0 means the process setting. The answer does not depend on it.

    Returns scores float32 [B, k] and ids int64 [B, k] (rows of `items`). The ids are those of a float64 brute force; a
    score is the float64 score rounded once, at most float32's largest number in size. Where fewer than k items are
    allowed the rest has id -1, score -inf.

    Raises TypeError for a wrong dtype; ValueError for a wrong shape, metric, k or device, and for a query or item that
    holds a NaN or an infinity (naming the first such row). While a CUDA graph is captured, values are not checked: such
    a query gets ids -1 and score NaN, and such an item is in no answer.
    """
    check_search(queries, items, k, metric, mask)
    scores, ids = OP(queries, items, k, metric, mask, backend=backend, threads=threads)
    return rounded(scores), ids


def rounded(scores: Tensor) -> Tensor:
    """float32 of float64 scores, finite where they are: -inf is left to places that no item fills."""
    return torch.where(scores == -torch.inf, scores, scores.clamp(-_MOST, _MOST)).float()


def _fake(queries: Tensor, items: Tensor, k: int, *_: object) -> tuple[Tensor, Tensor]:
    shape = (queries.shape[0], k)
    return queries.new_empty(shape, dtype=torch.float64), queries.new_empty(shape, dtype=torch.int64)


OP.register(
    "(Tensor queries, Tensor items, int k, str metric, Tensor? mask) -> (Tensor scores, Tensor ids)",
    "queries float32 B d, items float32 N d, mask int64|uint64",
    _fake,
)
