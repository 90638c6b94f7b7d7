"""The Triton kernel: a block of one request's candidates at a time against its recent items, one after another."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from headrace.kernels.closeness.reference import check_input

_BLOCK = 64


@triton.jit(do_not_specialize=["blocks"])  # type: ignore[untyped-decorator]
def _closeness_kernel(
    content: tl.tensor,
    recent: tl.tensor,
    offsets: tl.tensor,
    item: tl.tensor,
    out: tl.tensor,
    dim: tl.tensor,
    length: tl.tensor,
    blocks: tl.tensor,
    BLOCK: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    request = (tl.program_id(0) // blocks).to(tl.int64)
    first = tl.load(offsets + request) + tl.program_id(0) % blocks * BLOCK
    last = tl.load(offsets + request + 1)
    if first < last:
        at = first + tl.arange(0, BLOCK)
        column = tl.arange(0, COLUMNS)
        row = tl.load(item + at, mask=at < last, other=0)
        mask = (at < last)[:, None] & (column < dim)[None, :]
        mine = tl.load(content + row[:, None] * dim + column[None, :], mask=mask, other=0.0)
        total = tl.zeros([COLUMNS], tl.float32)
        there = tl.full([], 0, tl.int32)
        most = tl.full([BLOCK], float("-inf"), tl.float32)
        for r in range(0, length):
            theirs = tl.load(recent + request * length + r).to(tl.int64)
            known = theirs >= 0
            vector = tl.load(content + theirs * dim + column, mask=(column < dim) & known, other=0.0)
            product = tl.sum(mine * vector[None, :], 1)
            most = tl.where(known, tl.maximum(most, product), most)
            total += vector
            there += known.to(tl.int32)
        mean = tl.sum(mine * (total / tl.maximum(there, 1).to(tl.float32))[None, :], 1)
        tl.store(out + at * 2, mean, mask=at < last)
        tl.store(out + at * 2 + 1, tl.where(there > 0, most, 0.0), mask=at < last)


def closeness(content: Tensor, recent: Tensor, offsets: Tensor, item: Tensor, threads: int = 0) -> Tensor:
    check_input(content, recent, offsets, item)
    out = content.new_empty((len(item), 2))
    if len(item):
        dim = content.shape[1]
        blocks = triton.cdiv(int(offsets.diff().max()), _BLOCK)
        # One axis, as the others end at 65535 programs.
        _closeness_kernel[(len(recent) * blocks,)](
            *(content, recent, offsets, item, out, dim, recent.shape[1], blocks),
            BLOCK=_BLOCK,
            COLUMNS=triton.next_power_of_2(dim),
        )
    if not bool(torch.isfinite(out).all()):
        raise ValueError("content: expected finite numbers and products, got NaN or infinity")
    return out
