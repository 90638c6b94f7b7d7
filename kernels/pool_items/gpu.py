"""The Triton kernel: entries sorted by (request, item), one program a block of runs that adds up its own."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from headrace.kernels.pool_items import reference
from headrace.kernels.segment_topk.gpu import segment_topk

_BLOCK = 128


@triton.jit  # type: ignore[untyped-decorator]
def _sum_kernel(
    starts: tl.tensor,
    worth: tl.tensor,
    lists: tl.tensor,
    total: tl.tensor,
    bits: tl.tensor,
    groups: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    first = tl.load(starts + at, mask=at < groups, other=0)
    last = tl.load(starts + at + 1, mask=at < groups, other=0)
    added = tl.zeros([BLOCK], tl.float64)
    found = tl.zeros([BLOCK], tl.int64)
    one = tl.full([BLOCK], 1, tl.int64)
    for step in range(0, tl.max(last - first, 0)):
        here = first + step < last
        added += tl.load(worth + first + step, mask=here, other=0.0)
        found = found | tl.where(here, one << tl.load(lists + first + step, mask=here, other=0), 0)
    tl.store(total + at, added.to(tl.float32), mask=at < groups)
    tl.store(bits + at, found, mask=at < groups)


def pool_items(
    offsets: Tensor,
    item: Tensor,
    score: Tensor | None,
    limits: list[int],
    constant: float,
    k: int,
    ranks: bool,
    threads: int = 0,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    batch = offsets.shape[1] - 1
    found = reference.entries(offsets, item, score, limits, constant)
    values, rank = torch.unique(found.item, return_inverse=True)
    groups = reference.group_items(found.request, rank, batch)
    lists = found.list[groups.order]
    reference.check_repeats(groups.group, lists, score)
    count = len(groups.item)
    starts = torch.cat([groups.length.new_zeros(1), groups.length.cumsum(0)])
    total = torch.empty(count, dtype=torch.float32, device=item.device)
    bits = torch.empty(count, dtype=torch.int64, device=item.device)
    if count:
        worth = found.worth[groups.order]
        _sum_kernel[(triton.cdiv(count, _BLOCK),)](starts, worth, lists, total, bits, count, BLOCK=_BLOCK)
    bounds = torch.cat([offsets.new_zeros(1), torch.bincount(groups.request, minlength=batch).cumsum(0)])
    pooled = values[groups.item]
    index, kept = segment_topk(bounds, total, pooled, k)
    rank = (
        reference.ranks_of(groups, found, offsets.shape[0])[index] if ranks else bits.new_zeros((0, len(offsets))).int()
    )
    return kept, pooled[index], total[index], bits[index], rank
