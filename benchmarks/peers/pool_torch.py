"""The merge of ragged lists in torch: one sort by (request, item), a segment sum, and sorts of the sums."""

from __future__ import annotations

import torch
from torch import Tensor


def merged(offsets: Tensor, item: Tensor, items: int, k: int, constant: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """offsets int64 [L, B + 1] of the lists in item int64 [nnz] -> offsets, items, scores, and which lists had them.

    Everything is batched; an item's rank in its list says what it is worth.
    """
    lists, batch = offsets.shape[0], offsets.shape[1] - 1
    counts = offsets.diff(dim=1)
    request = torch.arange(batch).repeat(lists).repeat_interleave(counts.flatten())
    rank = torch.arange(len(item)) - offsets[:, :-1].flatten().repeat_interleave(counts.flatten())
    key = request * items + item
    small = batch * items < 1 << 31
    key, order = torch.sort(key.int() if small else key, stable=True)  # half the time for half the width
    pair, length = torch.unique_consecutive(key, return_counts=True)
    worth = (constant + 1 + rank[order]).double().reciprocal_()
    total = torch.segment_reduce(worth, "sum", lengths=length).float()
    bits = torch.ones(lists, dtype=torch.int64).bitwise_left_shift(torch.arange(lists))
    bits = bits.repeat_interleave(counts.sum(1))[order]
    # Differences of running sums: each list has an item once, so a sum of bits is their union.
    ends = torch.cat([torch.zeros(1, dtype=torch.int64), bits.cumsum(0)])[
        torch.nn.functional.pad(length.cumsum(0), (1, 0))
    ]
    bits = ends.diff()
    owner, own = torch.div(pair, items, rounding_mode="floor").long(), (pair % items).long()
    best = torch.sort(total, descending=True, stable=True).indices
    best = best[torch.sort(owner[best].int(), stable=True).indices]
    found = torch.bincount(owner, minlength=batch)
    starts = torch.cat([found.new_zeros(1), found.cumsum(0)])
    best = best[torch.arange(len(best)) - starts[:-1].repeat_interleave(found) < k]
    kept = torch.cat([found.new_zeros(1), found.clamp_max(k).cumsum(0)])
    return kept, own[best], total[best], bits[best]
