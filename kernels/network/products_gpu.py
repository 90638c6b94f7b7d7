"""Triton: the instructions of a network program that read its tables and multiply with its matrices; the answer."""

from __future__ import annotations

import triton
import triton.language as tl

from headrace.kernels.network import instructions as ins
from headrace.kernels.network.steps_gpu import field, get, put

HELD = tl.constexpr(ins.HELD)


@triton.jit  # type: ignore[untyped-decorator]
def block_rows(block: tl.tensor, n: tl.tensor, ROWS: tl.constexpr) -> tl.tensor:
    """int64 [ROWS]: the rows of a block; beyond the last, the last once more."""
    return tl.minimum(block * ROWS + tl.arange(0, ROWS), n - 1).to(tl.int64)


@triton.jit  # type: ignore[untyped-decorator]
def inside(index: tl.tensor, count: tl.tensor) -> tl.tensor:
    return (index >= 0) & (index < count)


@triton.jit(noinline=True)  # type: ignore[untyped-decorator]
def rows(
    step: tl.tensor,
    held: tl.tensor,
    item_rows: tl.tensor,
    code_rows: tl.tensor,
    request_rows: tl.tensor,
    inputs: tl.tensor,
    owner: tl.tensor,
    item: tl.tensor,
    codes: tl.tensor,
    block: tl.tensor,
    n: tl.tensor,
    items: tl.tensor,
    item_width: tl.tensor,
    code_count: tl.tensor,
    code_width: tl.tensor,
    request_width: tl.tensor,
    input_width: tl.tensor,
    fields: tl.tensor,
    ROWS: tl.constexpr,
    TILE: tl.constexpr,
) -> None:
    """A row of an item or a code that does not exist counts as zeros."""
    row = block_rows(block, n, ROWS)
    out, width, request, own = field(step, 0), field(step, 1), field(step, 2), field(step, 5)
    of_item, of_codes = field(step, 3), field(step, 4)
    for first in range(0, width, TILE):
        j = first + tl.arange(0, TILE)
        used = (j < width)[:, None]
        total = tl.zeros([TILE, ROWS], tl.float32)
        if request >= 0:
            place = (tl.load(owner + row).to(tl.int64) * request_width)[None, :] + (request + j)[:, None]
            total += tl.load(request_rows + place, mask=used, other=0.0)
        if of_item >= 0:
            number = tl.load(item + row)
            place = (number * item_width)[None, :] + (of_item + j)[:, None]
            total += tl.load(item_rows + place, mask=used & inside(number, items)[None, :], other=0.0)
        if of_codes >= 0:
            for f in range(fields):
                code = tl.load(codes + row * fields + f).to(tl.int64)
                place = (code * code_width)[None, :] + (of_codes + j)[:, None]
                total += tl.load(code_rows + place, mask=used & inside(code, code_count)[None, :], other=0.0)
        if own >= 0:
            place = (row * input_width)[None, :] + (own + j)[:, None]
            total += tl.load(inputs + place, mask=used, other=0.0)
        put(held, out + j, j < width, total, ROWS)


@triton.jit  # type: ignore[untyped-decorator]
def to_bfloat16(x: tl.tensor, wanted: tl.tensor) -> tl.tensor:
    """float32: to the nearest, ties to even, where `wanted`. A cast would do, but in the interpreter it cuts off."""
    bits = x.to(tl.int32, bitcast=True)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) & -0x10000
    return tl.where((x == x) & wanted, rounded.to(tl.float32, bitcast=True), x)


@triton.jit(noinline=True)  # type: ignore[untyped-decorator]
def affine(
    step: tl.tensor,
    held: tl.tensor,
    weights: tl.tensor,
    request_rows: tl.tensor,
    request_width: tl.tensor,
    owner: tl.tensor,
    block: tl.tensor,
    n: tl.tensor,
    ROWS: tl.constexpr,
    BLOCK_O: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BFLOAT16: tl.constexpr,
) -> None:
    """BLOCK_O outputs at a time: [BLOCK_O, inputs] by [inputs, ROWS] on the matrix units.

    Weights of the requests' own: one request of the block after another, each for its own rows; most blocks have one.
    """
    row = block_rows(block, n, ROWS)
    out, width, x, inputs = field(step, 0), field(step, 1), field(step, 2), field(step, 3)
    weight, stride, start, relu, own = field(step, 4), field(step, 5), field(step, 6), field(step, 7), field(step, 8)
    least, most, matrices = 0, 0, weights
    if own != 0:
        request = tl.load(owner + row)
        least, most, matrices = tl.min(request, 0), tl.max(request, 0), request_rows
    for first in range(0, width, BLOCK_O):
        o = first + tl.arange(0, BLOCK_O)
        used = o < width
        total = tl.zeros([BLOCK_O, ROWS], tl.float32)
        if start == HELD:
            total = get(held, out + o, used, ROWS)
        elif start >= 0:
            total += tl.load(weights + start + o, mask=used, other=0.0)[:, None]
        for who in range(least, most + 1):
            mine = (tl.load(owner + row) == who) | (own == 0)
            if tl.max(mine.to(tl.int32), 0) > 0:
                matrix = matrices + tl.full([], who, tl.int64) * request_width + weight
                product = total
                for k_first in range(0, inputs, BLOCK_K):
                    k = k_first + tl.arange(0, BLOCK_K)
                    place = (k * stride)[None, :] + o[:, None]
                    w = tl.load(matrix + place, mask=(k < inputs)[None, :] & used[:, None], other=0.0)
                    values = get(held, x + k, k < inputs, ROWS)
                    if BFLOAT16:
                        w, values = to_bfloat16(w, own == 0), to_bfloat16(values, own == 0)
                    product = tl.dot(w, values, product, input_precision="tf32x3")
                total = tl.where(mine[None, :], product, total)
        if relu != 0:
            total = tl.maximum(total, 0.0, propagate_nan=tl.PropagateNan.ALL)
        put(held, out + o, used, total, ROWS)


@triton.jit(noinline=True)  # type: ignore[untyped-decorator]
def answer(
    out: tl.tensor,
    held: tl.tensor,
    item: tl.tensor,
    codes: tl.tensor,
    block: tl.tensor,
    n: tl.tensor,
    result: tl.tensor,
    width: tl.tensor,
    items: tl.tensor,
    code_count: tl.tensor,
    fields: tl.tensor,
    row_stride: tl.tensor,
    target_stride: tl.tensor,
    ROWS: tl.constexpr,
    TILE: tl.constexpr,
) -> None:
    """The result of the block's rows, NaN where the item or a code does not exist."""
    row = block_rows(block, n, ROWS)
    good = inside(tl.load(item + row), items)
    for f in range(fields):
        good = good & inside(tl.load(codes + row * fields + f), code_count)
    place = block * ROWS + tl.arange(0, ROWS)
    to = place.to(tl.int64) * row_stride
    for first in range(0, width, TILE):
        t = first + tl.arange(0, TILE)
        values = tl.where(good[None, :], get(held, result + t, t < width, ROWS), float("nan"))
        mask = (t < width)[:, None] & (place < n)[None, :]
        tl.store(out + to[None, :] + (t.to(tl.int64) * target_stride)[:, None], values, mask=mask)
