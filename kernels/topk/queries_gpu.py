"""Queries made ready for a GPU's scan: rounded as the items are, with what bounds the error of their scores."""

from __future__ import annotations

import triton
import triton.language as tl

from headrace.kernels.topk.scan_gpu import SAFE

#: What becomes of a query. UNSAFE: too long for float32; FULL: its survivors did not fit; float64 decides both.
SOUND, UNSAFE, FULL, NOT_FINITE = 0, 1, 2, 3
_UNSAFE, _NOT_FINITE = tl.constexpr(UNSAFE), tl.constexpr(NOT_FINITE)
_SAFE = tl.constexpr(SAFE)
#: Lengths are raised by this for their own rounding, and the whole bound by one part in a hundred.
_RAISED, _MARGIN = tl.constexpr(1 + 2.0**-20), tl.constexpr(1.01)
#: Int8 scales below this are zero.
LEAST_SCALE = 2.0**-100
_LEAST_SCALE = tl.constexpr(LEAST_SCALE)


@triton.jit(do_not_specialize=["n_queries"])  # type: ignore[untyped-decorator]
def prepare(
    queries: tl.tensor, scanned: tl.tensor, by: tl.tensor, factors: tl.tensor, limits: tl.tensor, counts: tl.tensor,
    states: tl.tensor, unit: tl.tensor, flush: tl.tensor, least: tl.tensor, n_queries: tl.tensor, dim: tl.tensor,
    width: tl.tensor, PACKED: tl.constexpr, WHOLE: tl.constexpr, L2: tl.constexpr, COSINE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    """One query: its numbers as the scan takes them, scale `by`, and factors [3, n_queries].

    A score of an item of a tile whose items are no longer than X and were rounded by no more than R is off by at most
    factors[0] R + factors[1] X + factors[2], and X^2 times a constant for l2. unit: what the sum of products adds,
    relative to the product of both lengths; flush and least: what too small numbers add, per length and at all.
    """
    query = tl.program_id(0)
    total = tl.zeros((), tl.float64)
    largest = tl.zeros((), tl.float32)
    wrong = tl.zeros((), tl.int32)
    for start in range(0, dim, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(queries + query.to(tl.int64) * dim + at, mask=at < dim, other=0.0)
        total += tl.sum(x.to(tl.float64) * x.to(tl.float64), 0)
        largest = tl.maximum(largest, tl.max(tl.abs(x), 0))
        wrong = tl.maximum(wrong, tl.max((~(tl.abs(x) < float("inf"))).to(tl.int32), 0))
    length = tl.sqrt(total)
    by_length = tl.where((length > 0) & (length < float("inf")), length, 1.0)
    divisor = by_length if COSINE else tl.full((), 1.0, tl.float64)
    step = (largest.to(tl.float64) / divisor / 127).to(tl.float32)
    step = tl.where(step < _LEAST_SCALE, 0.0, step)
    rounded = tl.zeros((), tl.float64)
    moved = tl.zeros((), tl.float64)
    for start in range(0, width, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(queries + query.to(tl.int64) * dim + at, mask=at < dim, other=0.0).to(tl.float64) / divisor
        to = scanned + query.to(tl.int64) * width + at
        if WHOLE:
            steps = tl.floor(x / tl.where(step > 0, step, 1.0).to(tl.float64) + 0.5)
            steps = tl.where(step > 0, tl.minimum(tl.maximum(steps, -127.0), 127.0), 0.0)
            tl.store(to, steps.to(tl.int8), mask=at < width)
            near = steps * step.to(tl.float64)
        else:
            short = x.to(tl.float32).to(scanned.dtype.element_ty)
            tl.store(to, short, mask=at < width)
            near = short.to(tl.float32).to(tl.float64)
        rounded += tl.sum(near * near, 0)
        moved += tl.sum((near - x) * (near - x), 0)
    tl.store(by + query, step)
    unsafe = ~(length <= _SAFE)
    long = tl.full((), 1.0, tl.float64) if COSINE else length * _RAISED
    if PACKED:
        by_spread = long
        by_longest = tl.sqrt(moved) * _RAISED + unit * tl.sqrt(rounded) * _RAISED + flush
    else:
        by_spread = long * 0
        by_longest = unit * long + flush
    alone = least + flush * long
    if COSINE:
        alone += long * 9.094947017729282e-13  # 2^-40: dividing by the lengths in float64
    if L2:
        alone += long * long * 2.842170943040401e-14  # 2^-45: the float64 rounding of (score + |q|^2) / 2
    tl.store(factors + query, (by_spread * _MARGIN).to(tl.float32))
    tl.store(factors + n_queries + query, (by_longest * _MARGIN).to(tl.float32))
    tl.store(factors + 2 * n_queries + query, (alone * _MARGIN).to(tl.float32))
    tl.store(counts + query, 0)
    tl.store(limits + query, tl.where(unsafe, float("inf"), float("-inf")))
    tl.store(states + query, tl.where(wrong > 0, _NOT_FINITE, tl.where(unsafe, _UNSAFE, 0)))
