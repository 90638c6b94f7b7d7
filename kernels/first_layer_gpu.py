"""Triton: columns of a first layer that is part look-up, part product; shared by the network kernels."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]
def inside(
    item: tl.tensor,
    codes: tl.tensor,
    items: tl.tensor,
    code_count: tl.tensor,
    place: tl.tensor,
    mask: tl.tensor,
    FIELDS: tl.constexpr,
) -> tl.tensor:
    """Whether the item and all codes of the candidates at `place` exist."""
    row = tl.load(item + place, mask=mask, other=0)
    good = mask & (row >= 0) & (row < items)
    for f in tl.static_range(FIELDS):
        code = tl.load(codes + place * FIELDS + f, mask=mask, other=0)
        good = good & (code >= 0) & (code < code_count)
    return good


@triton.jit  # type: ignore[untyped-decorator]
def first_layer(
    base: tl.tensor,
    item_rows: tl.tensor,
    code_rows: tl.tensor,
    inputs: tl.tensor,
    weight: tl.tensor,
    owner: tl.tensor,
    item: tl.tensor,
    codes: tl.tensor,
    place: tl.tensor,
    good: tl.tensor,
    width: tl.tensor,
    first: tl.tensor,
    count: tl.tensor,
    depth: tl.tensor,
    FIELDS: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_C: tl.constexpr,
) -> tl.tensor:
    """[candidates, BLOCK_C]: columns first .. first + count of base[owner] + item row + code rows + inputs x weight.

    inputs: [n, depth], depth at most BLOCK_K; weight: [depth, width].
    """
    column = tl.arange(0, BLOCK_C)
    k = tl.arange(0, BLOCK_K)
    used = (column < count)[None, :]
    mask = good[:, None] & used
    column = first + column
    request = tl.load(owner + place, mask=good, other=0)
    row = tl.load(item + place, mask=good, other=0)
    total = tl.load(base + request[:, None] * width + column[None, :], mask=mask, other=0.0)
    total += tl.load(item_rows + row[:, None] * width + column[None, :], mask=mask, other=0.0)
    for f in tl.static_range(FIELDS):
        code = tl.load(codes + place * FIELDS + f, mask=good, other=0).to(tl.int64)
        total += tl.load(code_rows + code[:, None] * width + column[None, :], mask=mask, other=0.0)
    x_mask = good[:, None] & (k < depth)[None, :]
    x = tl.load(inputs + place[:, None] * depth + k[None, :], mask=x_mask, other=0.0)
    w = tl.load(weight + k[:, None] * width + column[None, :], mask=(k < depth)[:, None] & used, other=0.0)
    return tl.dot(x, w, total, input_precision="tf32x3")


def block(size: int) -> int:
    """The block that holds `size` columns: a power of two that matrix units take."""
    return max(16, int(triton.next_power_of_2(size)))
