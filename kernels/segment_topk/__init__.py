"""Segment top-k: the best entries of each segment of a ragged batch."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.checks import check_count, check_tensor
from headrace.kernels.edge import FLOATS, IDS, takes
from headrace.kernels.registry import Op

__all__ = ["segment_topk"]

OP = Op("segment_topk", __name__, "top-k inside the segments of a ragged batch", ("scalar",))


@takes(offsets=IDS, score=FLOATS, tie=IDS)
def segment_topk(
    offsets: Tensor, score: Tensor, tie: Tensor, k: int, *, backend: str = "auto", threads: int = 0
) -> tuple[Tensor, Tensor]:
    """The best `k` entries of each segment, best first, ties to the lower `tie`, then to the earlier entry.

    offsets: int64 [B+1], from 0 to nnz; segment b owns entries offsets[b]:offsets[b+1]. score: float32 [nnz]. tie:
    int64 [nnz], e.g. the item. Returns the positions of the kept entries, int64 [m], segment after segment, and their
    offsets, int64 [B+1]. A segment with fewer entries keeps them all. The same answer on every backend, for every
    number of threads.
    Raises ValueError for NaN, k below 1, offsets that do not rise from 0 to nnz, unequal lengths or devices; TypeError
    for wrong types.
    """
    check_tensor("offsets", offsets, dtype=torch.int64, ndim=1, device=score.device)
    check_tensor("score", score, dtype=torch.float32, ndim=1)
    check_tensor("tie", tie, dtype=torch.int64, ndim=1, device=score.device)
    check_count("k", k)
    if offsets.shape[0] < 1:
        raise ValueError("offsets: expected at least 1 entry, got 0")
    if tie.shape != score.shape:
        raise ValueError(f"tie: expected {score.shape[0]} entries, one for each score, got {tie.shape[0]}")
    inputs = offsets.contiguous(), score.contiguous(), tie.contiguous(), min(k, score.shape[0] + 1)
    index, kept = OP(*inputs, backend=backend, threads=threads)
    return index, kept


def _fake(offsets: Tensor, score: Tensor, tie: Tensor, k: int) -> tuple[Tensor, Tensor]:
    return tie.new_empty(torch.library.get_ctx().new_dynamic_size()), torch.empty_like(offsets)


OP.register(
    "(Tensor offsets, Tensor score, Tensor tie, int k) -> (Tensor, Tensor)",
    "offsets int64 B+1, score float32 n, tie int64 n",
    _fake,
)
