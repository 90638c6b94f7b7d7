"""Triton: the instructions of a network program over one block of rows, all but look-ups, products and attention.

`held` are the block's columns, [columns, ROWS] float32. Each function takes a step (an encoded instruction) and works
on TILE results of every row at a time; sums run over their terms in order.
"""

from __future__ import annotations

import triton
import triton.language as tl

from headrace.kernels.network.instructions import BINARY, PAIRS, REDUCE, UNARY

RELU = tl.constexpr(UNARY.index("relu"))
SIGMOID = tl.constexpr(UNARY.index("sigmoid"))
TANH = tl.constexpr(UNARY.index("tanh"))
SQUARE = tl.constexpr(UNARY.index("square"))
SCALE = tl.constexpr(UNARY.index("scale"))
ADD = tl.constexpr(BINARY.index("add"))
SUBTRACT = tl.constexpr(BINARY.index("subtract"))
MULTIPLY = tl.constexpr(BINARY.index("multiply"))
PRODUCT = tl.constexpr(PAIRS.index("product"))
WITHIN = tl.constexpr(REDUCE.index("within"))
#: Below every logit, and finite: a difference of two of them is a number.
LOWEST = tl.constexpr(-3.0e38)


@triton.jit  # type: ignore[untyped-decorator]
def field(step: tl.tensor, place: tl.constexpr) -> tl.tensor:
    """A field of an instruction, by its place after the code."""
    return tl.load(step + 1 + place).to(tl.int32)


@triton.jit  # type: ignore[untyped-decorator]
def at(held: tl.tensor, column: tl.tensor, ROWS: tl.constexpr) -> tl.tensor:
    """Where the columns are in memory: [columns, ROWS]."""
    return held + (column[:, None] * ROWS + tl.arange(0, ROWS)[None, :])


@triton.jit  # type: ignore[untyped-decorator]
def get(held: tl.tensor, column: tl.tensor, used: tl.tensor, ROWS: tl.constexpr) -> tl.tensor:
    """[columns, ROWS]; zeros for columns that are not used."""
    return tl.load(at(held, column, ROWS), mask=used[:, None], other=0.0)


@triton.jit  # type: ignore[untyped-decorator]
def put(held: tl.tensor, column: tl.tensor, used: tl.tensor, values: tl.tensor, ROWS: tl.constexpr) -> None:
    tl.store(at(held, column, ROWS), values, mask=used[:, None])


@triton.jit(noinline=True)  # type: ignore[untyped-decorator]
def fold(step: tl.tensor, held: tl.tensor, weights: tl.tensor, ROWS: tl.constexpr, TILE: tl.constexpr) -> None:
    out, width, x, inputs = field(step, 0), field(step, 1), field(step, 2), field(step, 3)
    weight, times, stride = field(step, 4), field(step, 5), field(step, 6)
    for first in range(0, inputs * width, TILE):
        e = first + tl.arange(0, TILE)
        used, k = e < inputs * width, e // width
        place = k * stride + e % width
        plain = tl.load(weights + weight + place, mask=used, other=0.0)
        factor = tl.load(weights + times + place, mask=used, other=0.0)
        values = plain[:, None] + get(held, x + k, used, ROWS) * factor[:, None]
        put(held, out + e, used, values, ROWS)


@triton.jit(noinline=True)  # type: ignore[untyped-decorator]
def constant(step: tl.tensor, held: tl.tensor, weights: tl.tensor, ROWS: tl.constexpr, TILE: tl.constexpr) -> None:
    out, width, weight = field(step, 0), field(step, 1), field(step, 2)
    for first in range(0, width, TILE):
        j = first + tl.arange(0, TILE)
        values = tl.load(weights + weight + j, mask=j < width, other=0.0)
        put(held, out + j, j < width, tl.zeros([TILE, ROWS], tl.float32) + values[:, None], ROWS)


@triton.jit  # type: ignore[untyped-decorator]
def tanh(x: tl.tensor) -> tl.tensor:
    """By the magnitude, so that nothing overflows; below 1/4 its series up to x^9, as the difference loses digits."""
    small = tl.exp(-2.0 * tl.abs(x))
    large = tl.where(x < 0, small - 1.0, 1.0 - small) / (1.0 + small)
    y = x * x
    series = x + x * y * (-1.0 / 3 + y * (2.0 / 15 + y * (-17.0 / 315 + y * (62.0 / 2835))))
    return tl.where(y < 0.0625, series, large)


@triton.jit(noinline=True)  # type: ignore[untyped-decorator]
def unary(step: tl.tensor, held: tl.tensor, weights: tl.tensor, ROWS: tl.constexpr, TILE: tl.constexpr) -> None:
    out, width, a, kind = field(step, 0), field(step, 1), field(step, 2), field(step, 3)
    factor = 1.0
    if kind == SCALE:
        factor = tl.load(weights + field(step, 4))
    for first in range(0, width, TILE):
        j = first + tl.arange(0, TILE)
        values = get(held, a + j, j < width, ROWS)
        if kind == RELU:
            values = tl.maximum(values, 0.0, propagate_nan=tl.PropagateNan.ALL)
        elif kind == SIGMOID:
            values = 1.0 / (1.0 + tl.exp(-values))
        elif kind == TANH:
            values = tanh(values)
        elif kind == SQUARE:
            values = values * values
        elif kind == SCALE:
            values = values * factor
        put(held, out + j, j < width, values, ROWS)


@triton.jit(noinline=True)  # type: ignore[untyped-decorator]
def binary(step: tl.tensor, held: tl.tensor, ROWS: tl.constexpr, TILE: tl.constexpr) -> None:
    out, width, a, b = field(step, 0), field(step, 1), field(step, 2), field(step, 3)
    kind, group, period = field(step, 4), field(step, 5), field(step, 6)
    for first in range(0, width, TILE):
        j = first + tl.arange(0, TILE)
        values = get(held, a + j, j < width, ROWS)
        other = get(held, b + j // group % period, j < width, ROWS)
        if kind == ADD:
            values = values + other
        elif kind == SUBTRACT:
            values = values - other
        elif kind == MULTIPLY:
            values = values * other
        else:
            values = tl.maximum(values, other, propagate_nan=tl.PropagateNan.ALL)
        put(held, out + j, j < width, values, ROWS)


@triton.jit(noinline=True)  # type: ignore[untyped-decorator]
def softmax(step: tl.tensor, held: tl.tensor, ROWS: tl.constexpr, TILE: tl.constexpr) -> None:
    out, width, groups = field(step, 0), field(step, 1), field(step, 2)
    for first in range(0, groups, TILE):
        g = first + tl.arange(0, TILE)
        run, used = out + g * width, g < groups
        peak = tl.full([TILE, ROWS], LOWEST, tl.float32)
        for j in range(width):
            peak = tl.maximum(peak, get(held, run + j, used, ROWS), propagate_nan=tl.PropagateNan.ALL)
        total = tl.zeros([TILE, ROWS], tl.float32)
        for j in range(width):
            total += tl.exp(get(held, run + j, used, ROWS) - peak)
        tl.debug_barrier()  # in place: all of the runs is read
        for j in range(width):
            put(held, run + j, used, tl.exp(get(held, run + j, used, ROWS) - peak) / total, ROWS)


@triton.jit(noinline=True)  # type: ignore[untyped-decorator]
def mix(step: tl.tensor, held: tl.tensor, ROWS: tl.constexpr, TILE: tl.constexpr) -> None:
    out, width, gates = field(step, 0), field(step, 1), field(step, 2)
    vectors, experts = field(step, 3), field(step, 4)
    r = tl.arange(0, ROWS)
    for first in range(0, width, TILE):
        h = first + tl.arange(0, TILE)
        total = tl.zeros([TILE, ROWS], tl.float32)
        for e in range(experts):
            gate = tl.load(held + (gates + e) * ROWS + r)
            total += gate[None, :] * get(held, vectors + e * width + h, h < width, ROWS)
        put(held, out + h, h < width, total, ROWS)


@triton.jit(noinline=True)  # type: ignore[untyped-decorator]
def fm(step: tl.tensor, held: tl.tensor, ROWS: tl.constexpr, TILE: tl.constexpr) -> None:
    out, width, a, fields = field(step, 0), field(step, 1), field(step, 2), field(step, 3)
    for first in range(0, width, TILE):
        k = first + tl.arange(0, TILE)
        total = tl.zeros([TILE, ROWS], tl.float32)
        squares = tl.zeros([TILE, ROWS], tl.float32)
        for f in range(fields):
            values = get(held, a + f * width + k, k < width, ROWS)
            total += values
            squares += values * values
        put(held, out + k, k < width, (total * total - squares) * 0.5, ROWS)


@triton.jit(noinline=True)  # type: ignore[untyped-decorator]
def pairs(step: tl.tensor, held: tl.tensor, ROWS: tl.constexpr, TILE: tl.constexpr) -> None:
    """For each f, its pairs lie side by side: so do the columns of b that they read."""
    out, width, a, b = field(step, 0), field(step, 1), field(step, 2), field(step, 3)
    fields, kind = field(step, 4), field(step, 5)
    for f in range(fields):
        before, after = f * fields - f * (f + 1) // 2, fields - f - 1
        left, right = a + f * width, b + (f + 1) * width
        if kind == PRODUCT:
            for first in range(0, after * width, TILE):
                e = first + tl.arange(0, TILE)
                used = e < after * width
                values = get(held, left + e % width, used, ROWS) * get(held, right + e, used, ROWS)
                put(held, out + before * width + e, used, values, ROWS)
        else:
            for first in range(0, after, TILE):
                g = first + tl.arange(0, TILE)
                total = tl.zeros([TILE, ROWS], tl.float32)
                for k in range(width):
                    x = tl.load(held + (left + k) * ROWS + tl.arange(0, ROWS))
                    total += x[None, :] * get(held, right + g * width + k, g < after, ROWS)
                put(held, out + before + g, g < after, total, ROWS)


@triton.jit(noinline=True)  # type: ignore[untyped-decorator]
def reduce(step: tl.tensor, held: tl.tensor, ROWS: tl.constexpr, TILE: tl.constexpr) -> None:
    out, width, a = field(step, 0), field(step, 1), field(step, 2)
    groups, kind = field(step, 3), field(step, 4)
    count, terms, apart, next_term = width, groups, 1, width
    if kind == WITHIN:
        count, terms, apart, next_term = groups, width, width, 1
    for first in range(0, count, TILE):
        e = first + tl.arange(0, TILE)
        total = tl.zeros([TILE, ROWS], tl.float32)
        for t in range(terms):
            total += get(held, a + e * apart + t * next_term, e < count, ROWS)
        put(held, out + e, e < count, total, ROWS)


@triton.jit(noinline=True)  # type: ignore[untyped-decorator]
def normalise(step: tl.tensor, held: tl.tensor, weights: tl.tensor, ROWS: tl.constexpr, TILE: tl.constexpr) -> None:
    out, width, a, groups = field(step, 0), field(step, 1), field(step, 2), field(step, 3)
    epsilon = tl.load(weights + field(step, 4))
    for first in range(0, groups, TILE):
        g = first + tl.arange(0, TILE)
        run, used = g * width, g < groups
        total = tl.zeros([TILE, ROWS], tl.float32)
        for j in range(width):
            total += get(held, a + run + j, used, ROWS)
        mean = total / width
        squares = tl.zeros([TILE, ROWS], tl.float32)
        for j in range(width):
            centred = get(held, a + run + j, used, ROWS) - mean
            squares += centred * centred
        deviation = tl.sqrt_rn(squares / width + epsilon)
        tl.debug_barrier()  # perhaps in place: all of the runs is read
        for j in range(width):
            put(held, out + run + j, used, (get(held, a + run + j, used, ROWS) - mean) / deviation, ROWS)
