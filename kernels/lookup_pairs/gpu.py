"""The Triton kernel: one binary search a candidate, in the list of its pair."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from headrace.kernels.lookup_pairs.reference import check_input

_BLOCK = 128


@triton.jit  # type: ignore[untyped-decorator]
def _lookup_kernel(
    lists: tl.tensor,
    codes: tl.tensor,
    rows: tl.tensor,
    item_code: tl.tensor,
    key: tl.tensor,
    owner: tl.tensor,
    item: tl.tensor,
    out: tl.tensor,
    n: tl.tensor,
    width: tl.tensor,
    stride: tl.tensor,
    steps: tl.tensor,
    BY_ITEM: tl.constexpr,
    BLOCK: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    asked = tl.load(key + tl.load(owner + at, mask=at < n, other=0), mask=at < n, other=-1)
    row = tl.load(item + at, mask=at < n, other=0)
    if BY_ITEM:
        first = row
        second = asked
    else:
        first = asked
        second = tl.load(item_code + row, mask=at < n, other=-1).to(tl.int64)
    known = (at < n) & (first >= 0) & (second >= 0)
    low = tl.load(lists + first, mask=known, other=0)
    end = tl.load(lists + first + 1, mask=known, other=0)
    high = end
    for _ in range(0, steps):
        middle = (low + high) // 2
        less = tl.load(codes + middle, mask=known & (low < high), other=0).to(tl.int64) < second
        open_ = low < high
        low = tl.where(open_ & less, middle + 1, low)
        high = tl.where(open_ & (less == 0), middle, high)
    found = known & (low < end)
    found = found & (tl.load(codes + low, mask=found, other=-1).to(tl.int64) == second)
    source = tl.where(found, low + 1, 0)
    column = tl.arange(0, COLUMNS)
    mask = (at < n)[:, None] & (column < width)[None, :]
    values = tl.load(rows + source[:, None] * width + column[None, :], mask=mask, other=0.0)
    tl.store(out + at[:, None] * stride + column[None, :], values, mask=mask)


def lookup_pairs(
    lists: Sequence[Tensor],
    codes: Sequence[Tensor],
    rows: Sequence[Tensor],
    item_codes: Sequence[Tensor | None],
    keys: Tensor,
    offsets: Tensor,
    item: Tensor,
    threads: int,
) -> Tensor:
    tables = list(zip(lists, codes, rows, item_codes, strict=True))
    check_input(tables, keys, offsets, item)
    n, stride = len(item), sum(table.shape[1] for table in rows)
    out = rows[0].new_empty(n, stride)
    owner = torch.repeat_interleave(torch.arange(len(offsets) - 1, device=item.device), offsets.diff())
    column = 0
    for (starts, code, row, item_code), key in zip(tables, keys, strict=True):
        width = row.shape[1]
        longest = int(starts.diff().max()) if len(starts) > 1 else 0
        if n and width:
            _lookup_kernel[(triton.cdiv(n, _BLOCK),)](
                *(starts, code, row, starts if item_code is None else item_code, key.contiguous(), owner, item),
                *(out[:, column:], n, width, stride, longest.bit_length()),
                BY_ITEM=item_code is None,
                BLOCK=_BLOCK,
                COLUMNS=triton.next_power_of_2(width),
            )
        column += width
    return out
