"""Arithmetic on ragged batches: segment offsets, gathers from CSR tables, and top-k inside segments."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.segment_topk import segment_topk


def offsets_of(counts: Tensor) -> Tensor:
    """int64 [n+1] running sum of `counts` (int64 [n]), starting at 0."""
    offsets = torch.zeros(counts.shape[0] + 1, dtype=torch.int64, device=counts.device)
    torch.cumsum(counts, 0, out=offsets[1:])
    return offsets


def segment_of(offsets: Tensor) -> Tensor:
    """int64 [nnz], the segment that owns each entry."""
    # Without values, which are gathered afterwards at several times the cost.
    return torch.repeat_interleave(offsets.diff())


def gather_rows(offsets: Tensor, rows: Tensor, limit: int | None = None) -> tuple[Tensor, Tensor]:
    """Positions of the entries of CSR `rows`, the first `limit` of each, and the offsets of the result.

    offsets: int64 [n+1] of the table. rows: int64 [m]; a row of -1 is empty. Returns (index int64 [nnz], int64 [m+1]).
    """
    if offsets.shape[0] == 1:  # a table without rows
        rows = rows.clamp_max(-1)
        offsets = offsets.new_zeros(2)
    safe = rows.clamp_min(0)
    start = offsets.index_select(0, safe)
    counts = torch.where(rows >= 0, offsets.index_select(0, safe + 1) - start, 0)
    if limit is not None:
        counts = counts.clamp_max(limit)
    out = offsets_of(counts)
    owner = torch.repeat_interleave(counts)
    return (start - out[:-1]).index_select(0, owner).add_(torch.arange(len(owner), device=rows.device)), out


def top_per_segment(offsets: Tensor, score: Tensor, tie: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The best `k` entries of each segment, best first, ties to the lower `tie`: (index int64 [m], offsets [n+1])."""
    return segment_topk(offsets, score, tie, k)


def standardise(offsets: Tensor, score: Tensor) -> Tensor:
    """float32 [nnz]: each request's scores with mean 0 and standard deviation 1; all 0 where they are equal."""
    request, counts = segment_of(offsets), offsets.diff()
    value = score.double()

    def mean(x: Tensor) -> Tensor:
        # Adds in order, as index_add_ does. `unsafe` leaves out the checks of the lengths, which fail on none at all.
        return torch.segment_reduce(x, "sum", lengths=counts, unsafe=True, initial=0) / counts.clamp_min(1)

    middle = mean(value)
    centred = value - middle.index_select(0, request)
    deviation = mean(centred.square()).sqrt()
    # Equal scores may differ from their own mean by rounding; over infinity they are 0.
    spread = torch.where(deviation > 1e-12 * middle.abs(), deviation, torch.inf)
    return (centred / spread.index_select(0, request)).float()
