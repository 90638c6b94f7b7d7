"""Selection on a GPU: thinning a query's survivors by bounds, and the exact k best of float64 scores.

One program per query. The k-th best is found by bisection over the numbers' bits in their order, without a sort.
"""

from __future__ import annotations

import triton
import triton.language as tl

from headrace.kernels.topk.queries_gpu import FULL, UNSAFE

_UNSAFE, _FULL = tl.constexpr(UNSAFE), tl.constexpr(FULL)
_LAST_ROW = tl.constexpr(2**31 - 1)
_LEAST = tl.constexpr(-(2**63))


@triton.jit  # type: ignore[untyped-decorator]
def order_of(
    number: tl.tensor,
) -> tl.tensor:  # fmt: skip
    """int64 that order as the floats do; of float64 what is not finite is lowest."""
    number = tl.where(number == 0, 0.0, number)  # the zeros are equal
    if number.dtype == tl.float64:
        bits = number.to(tl.int64, bitcast=True)
        key = tl.where(tl.abs(number) < float("inf"), bits ^ ((bits >> 63) & 0x7FFFFFFFFFFFFFFF), _LEAST)
    else:
        bits = number.to(tl.int32, bitcast=True)
        key = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.int64)
    return key


@triton.jit  # type: ignore[untyped-decorator]
def reach(
    numbers: tl.tensor, rows: tl.tensor, count: tl.tensor, key: tl.tensor, BLOCK: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """How many of the first `count` entries that hold a row are at least `key`."""
    reached = tl.zeros((BLOCK,), tl.int32)
    for start in range(0, count, BLOCK):
        at = start + tl.arange(0, BLOCK)
        row = tl.load(rows + at, mask=at < count, other=-1)
        mine = order_of(tl.load(numbers + at, mask=at < count, other=float("-inf")))
        reached += ((row >= 0) & (mine >= key)).to(tl.int32)
    return tl.sum(reached, 0)


@triton.jit  # type: ignore[untyped-decorator]
def reached_by(
    numbers: tl.tensor, rows: tl.tensor, count: tl.tensor, k: tl.tensor, more: tl.tensor, BLOCK: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """A key that at least k entries reach: the highest, or one that at most k + more do. The lowest of all if none."""
    high = tl.full((), _LEAST, tl.int64)
    low = tl.full((), 0x7FFFFFFFFFFFFFFF, tl.int64)
    for start in range(0, count, BLOCK):
        at = start + tl.arange(0, BLOCK)
        row = tl.load(rows + at, mask=at < count, other=-1)
        mine = order_of(tl.load(numbers + at, mask=at < count, other=float("-inf")))
        high = tl.maximum(high, tl.max(tl.where(row >= 0, mine, _LEAST), 0))
        low = tl.minimum(low, tl.min(tl.where(row >= 0, mine, 0x7FFFFFFFFFFFFFFF), 0))
    if reach(numbers, rows, count, low, BLOCK) < k:
        low = tl.full((), _LEAST, tl.int64)
        high = low
    while low < high:
        # The mean, rounded up: the sum of both may not fit.
        middle = (low | high) - ((low ^ high) >> 1)
        reached = reach(numbers, rows, count, middle, BLOCK)
        enough = reached >= k
        low = tl.where(enough, middle, low)
        high = tl.where(enough, tl.where(reached <= k + more, middle, high), middle - 1)
    return low


@triton.jit  # type: ignore[untyped-decorator]
def last_of_ties(
    numbers: tl.tensor, rows: tl.tensor, count: tl.tensor, k: tl.tensor, key: tl.tensor, BLOCK: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """The row up to which entries at `key`, the k-th best, belong to the k best."""
    wanted = k - reach(numbers, rows, count, key + 1, BLOCK)
    low = tl.full((), 0, tl.int32)
    high = tl.full((), _LAST_ROW, tl.int32)
    if reach(numbers, rows, count, key, BLOCK) <= k:
        low = high
    while low < high:
        middle = low + (high - low) // 2
        held = tl.zeros((BLOCK,), tl.int32)
        for start in range(0, count, BLOCK):
            at = start + tl.arange(0, BLOCK)
            row = tl.load(rows + at, mask=at < count, other=-1)
            mine = order_of(tl.load(numbers + at, mask=at < count, other=float("-inf")))
            held += ((row >= 0) & (row <= middle) & (mine == key)).to(tl.int32)
        enough = tl.sum(held, 0) >= wanted
        high = tl.where(enough, middle, high)
        low = tl.where(enough, low, middle + 1)
    return low


@triton.jit  # type: ignore[untyped-decorator]
def keep_best(
    scores: tl.tensor, rows: tl.tensor, count: tl.tensor, k: tl.tensor, to_scores: tl.tensor, to_rows: tl.tensor,
    BLOCK: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor]:  # fmt: skip
    """Copies the k best of float64 scores, ties to the lower row, in their order; may be in place.

    Entries without a row, or whose score is not finite, are none. Returns how many there are, and the key of the least.
    """
    tl.debug_barrier()
    key = reached_by(scores, rows, count, k, 0, BLOCK)
    last = last_of_ties(scores, rows, count, k, key, BLOCK)
    kept = tl.full((), 0, tl.int32)
    for start in range(0, count, BLOCK):
        at = start + tl.arange(0, BLOCK)
        row = tl.load(rows + at, mask=at < count, other=-1)
        score = tl.load(scores + at, mask=at < count, other=float("-inf"))
        mine = order_of(score)
        stays = (row >= 0) & (tl.abs(score) < float("inf")) & ((mine > key) | ((mine == key) & (row <= last)))
        place = kept + tl.cumsum(stays.to(tl.int32), 0) - 1
        tl.debug_barrier()  # in place: all of the block is read
        tl.store(to_scores + place, score, mask=stays)
        tl.store(to_rows + place, row, mask=stays)
        kept += tl.sum(stays.to(tl.int32), 0)
    tl.debug_barrier()
    return kept, key


@triton.jit(do_not_specialize=["room", "k"])  # type: ignore[untyped-decorator]
def thin(
    lower: tl.tensor, upper: tl.tensor, found: tl.tensor, counts: tl.tensor, limits: tl.tensor, states: tl.tensor,
    room: tl.tensor, k: tl.tensor, BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    """Raises the query's limit to what k survivors are known to reach, and drops those that cannot."""
    query = tl.program_id(0)
    count = tl.load(counts + query)
    tl.debug_barrier()
    if count > room:
        tl.store(states + query, _FULL)
        tl.store(limits + query, float("inf"))
        tl.store(counts + query, 0)
    elif count > k:
        lower += query.to(tl.int64) * room
        upper += query.to(tl.int64) * room
        found += query.to(tl.int64) * room
        before = order_of(tl.load(limits + query))
        key = tl.maximum(reached_by(lower, found, count, k, k // 8, BLOCK), before)
        kept = tl.full((), 0, tl.int32)
        for start in range(0, count, BLOCK):
            at = start + tl.arange(0, BLOCK)
            row = tl.load(found + at, mask=at < count, other=-1)
            low = tl.load(lower + at, mask=at < count, other=float("-inf"))
            high = tl.load(upper + at, mask=at < count, other=float("-inf"))
            stays = (row >= 0) & (order_of(high) >= key)
            place = kept + tl.cumsum(stays.to(tl.int32), 0) - 1
            tl.debug_barrier()  # in place: all of the block is read
            tl.store(lower + place, low, mask=stays)
            tl.store(upper + place, high, mask=stays)
            tl.store(found + place, row, mask=stays)
            kept += tl.sum(stays.to(tl.int32), 0)
        bits = key.to(tl.int32)
        tl.store(limits + query, (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True))
        tl.store(counts + query, kept)


@triton.jit(do_not_specialize=["stride", "k"])  # type: ignore[untyped-decorator]
def choose(
    scores: tl.tensor, rows: tl.tensor, counts: tl.tensor, states: tl.tensor, best: tl.tensor, chosen: tl.tensor,
    stride: tl.tensor, k: tl.tensor, AGAIN: tl.constexpr, BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    """The k best entries of a query, in any order. AGAIN: only of queries that the scan did not decide."""
    query = tl.program_id(0)
    state = tl.load(states + query)
    count = tl.load(counts + query)
    if AGAIN:
        count = tl.where((state == _UNSAFE) | (state == _FULL), count, 0)
    if count > 0:
        at = query.to(tl.int64)
        keep_best(scores + at * stride, rows + at * stride, count, k, best + at * k, chosen + at * k, BLOCK)
