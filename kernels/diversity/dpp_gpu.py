"""The Triton backend of DPP: one program per list, the loop over picks inside it, float64 throughout."""

from __future__ import annotations

import triton
import triton.language as tl

from headrace.kernels.diversity.greedy_gpu import apply_rules, dots, pick, reserve, store_gain


@triton.jit  # type: ignore[untyped-decorator]
def _squares(
    vectors: tl.tensor, d2: tl.tensor, squares: tl.tensor, n: tl.tensor, width: tl.tensor, BLOCK: tl.constexpr
) -> None:
    tl.debug_barrier()
    for start in range(0, n, BLOCK):
        at = start + tl.arange(0, BLOCK).to(tl.int64)
        square = tl.zeros((BLOCK,), tl.float64)
        for column in range(0, width):
            x = tl.load(vectors + at * width + column, mask=at < n, other=0.0).to(tl.float64)
            square += x * x
        tl.store(d2 + at, square, mask=at < n)
        tl.store(squares + at, square, mask=at < n)
    tl.debug_barrier()


@triton.jit  # type: ignore[untyped-decorator]
def _distance(d2: tl.tensor, squares: tl.tensor, at: tl.tensor, inside: tl.tensor) -> tl.tensor:
    """d2, 0 where it is no more than rounding leaves of the square: 2^-40 of it."""
    far = tl.load(d2 + at, mask=inside, other=1.0)
    return tl.where(far < 9.094947017729282e-13 * tl.load(squares + at, mask=inside, other=0.0), 0.0, far)


@triton.jit  # type: ignore[untyped-decorator]
def _holds(active: tl.tensor, count: tl.tensor, item: tl.tensor) -> tl.tensor:
    found = tl.full((), 0, tl.int32)
    for t in range(0, count):
        found += (tl.load(active + t) == item).to(tl.int32)
    return found > 0


@triton.jit  # type: ignore[untyped-decorator]
def _join(
    vectors: tl.tensor,
    columns: tl.tensor,
    d2: tl.tensor,
    squares: tl.tensor,
    active: tl.tensor,
    count: tl.tensor,
    item: tl.tensor,
    n: tl.tensor,
    items: tl.tensor,
    width: tl.tensor,
    eps: tl.tensor,
    BLOCK: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> tl.tensor:
    """Adds the item's direction to the basis, unless the basis spans it; returns the number of columns."""
    pivot = _distance(d2, squares, item, item < n)
    tl.debug_barrier()
    if pivot > eps:
        scale = 1.0 / tl.sqrt(pivot)
        for start in range(0, n, BLOCK):
            at = start + tl.arange(0, BLOCK).to(tl.int64)
            e = dots(vectors, n, width, item, at, BLOCK, BLOCK_D)
            for t in range(0, count):
                e -= tl.load(columns + t * items + item) * tl.load(columns + t * items + at, mask=at < n, other=0.0)
            e *= scale
            tl.store(columns + count * items + at, e, mask=at < n)
            tl.store(d2 + at, tl.load(d2 + at, mask=at < n, other=0.0) - e * e, mask=at < n)
        tl.store(active + count, item)
        count += 1
    tl.debug_barrier()
    return count


@triton.jit  # type: ignore[untyped-decorator]
def _leave(
    columns: tl.tensor,
    d2: tl.tensor,
    active: tl.tensor,
    count: tl.tensor,
    item: tl.tensor,
    n: tl.tensor,
    items: tl.tensor,
    BLOCK: tl.constexpr,
) -> tl.tensor:
    """Turns the basis by Givens rotations until its last column is the item's alone and drops that one."""
    place = count
    for t in range(0, count):
        place = tl.where(tl.load(active + t) == item, t, place)
    if place < count:
        for t in range(place, count - 1):
            member = tl.load(active + t + 1)
            left = columns + t * items
            x = tl.load(left + member)
            y = tl.load(left + items + member)
            tl.debug_barrier()
            length = tl.sqrt(x * x + y * y)
            c = x / length
            s = y / length
            for start in range(0, n, BLOCK):
                at = start + tl.arange(0, BLOCK).to(tl.int64)
                a = tl.load(left + at, mask=at < n, other=0.0)
                b = tl.load(left + items + at, mask=at < n, other=0.0)
                tl.store(left + at, c * a + s * b, mask=at < n)
                tl.store(left + items + at, c * b - s * a, mask=at < n)
            tl.store(active + t, member)
            tl.debug_barrier()
        count -= 1
        for start in range(0, n, BLOCK):
            at = start + tl.arange(0, BLOCK).to(tl.int64)
            e = tl.load(columns + count * items + at, mask=at < n, other=0.0)
            tl.store(d2 + at, tl.load(d2 + at, mask=at < n, other=0.0) + e * e, mask=at < n)
    tl.debug_barrier()
    return count


@triton.jit(do_not_specialize=["items", "k", "window", "held", "rules"])  # type: ignore[untyped-decorator]
def dpp_kernel(
    vectors: tl.tensor,
    rewards: tl.tensor,
    offsets: tl.tensor,
    settings: tl.tensor,
    kinds: tl.tensor,
    limits: tl.tensor,
    pinned: tl.tensor,
    picked: tl.tensor,
    gain: tl.tensor,
    ruled: tl.tensor,
    logdet: tl.tensor,
    state: tl.tensor,
    columns: tl.tensor,
    active: tl.tensor,
    counts: tl.tensor,
    forbidden: tl.tensor,
    items: tl.tensor,
    width: tl.tensor,
    k: tl.tensor,
    window: tl.tensor,
    held: tl.tensor,
    rules: tl.tensor,
    BLOCK: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    request = tl.program_id(0).to(tl.int64)
    items = items.to(tl.int64)
    first = tl.load(offsets + request)
    n = tl.load(offsets + request + 1) - first
    theta = tl.load(settings)
    weight = tl.load(settings + 1)
    eps = tl.load(settings + 2)
    vectors += first * width
    rewards += first
    kinds += first
    columns += first
    counts += first
    forbidden += first
    base = state + first
    d2 = base + items
    score = d2 + items
    squares = score + items
    active += request * held
    pinned += request * k
    picked += request * k
    gain += request * k
    logdet += request * k
    for start in range(0, n, BLOCK):
        at = start + tl.arange(0, BLOCK).to(tl.int64)
        reward = tl.load(rewards + at, mask=at < n, other=0.0)
        tl.store(base + at, theta * reward.to(tl.float64), mask=at < n)
    _squares(vectors, d2, squares, n, width, BLOCK)
    apply_rules(kinds, limits, picked, counts, forbidden, 0, n, items, rules, BLOCK)
    steps = tl.minimum(n, k.to(tl.int64))
    reserve(pinned, base, steps)
    count = tl.full((), 0, tl.int32)
    relaxed = tl.full((), 0, tl.int64)
    overruled = tl.full((), 0, tl.int64)
    path = tl.full((), 0.0, tl.float64)
    for t in range(0, steps):
        tl.debug_barrier()
        for start in range(0, n, BLOCK):
            at = start + tl.arange(0, BLOCK).to(tl.int64)
            far = tl.maximum(_distance(d2, squares, at, at < n), eps)
            objective = tl.load(base + at, mask=at < n, other=0.0) + weight * tl.log(far)
            tl.store(score + at, objective, mask=at < n)
        tl.debug_barrier()
        choice, broken, forbade = pick(score, forbidden, tl.load(pinned + t), n, rules, BLOCK)
        relaxed += broken
        overruled += forbade
        tl.store(picked + t, choice)
        distance = tl.log(tl.maximum(_distance(d2, squares, choice, choice < n), eps))
        path += distance
        value = theta * tl.load(rewards + choice).to(tl.float64) + weight * distance
        store_gain(gain + t, value)
        tl.store(logdet + t, path.to(tl.float32))
        tl.store(base + choice, float("-inf"))
        tl.debug_barrier()
        if t + 1 < steps:
            if (window > 0) & (t >= window):
                oldest = tl.load(picked + t - window)
                if count == window:
                    count = _leave(columns, d2, active, count, oldest, n, items, BLOCK)
                elif _holds(active, count, oldest):
                    # Picks that depended on the oldest may have directions of their own, before later picks.
                    _squares(vectors, d2, squares, n, width, BLOCK)
                    count = count * 0
                    for p in range(t - window + 1, t):
                        item = tl.load(picked + p)
                        count = _join(
                            vectors, columns, d2, squares, active, count, item, n, items, width, eps, BLOCK, BLOCK_D
                        )
            count = _join(vectors, columns, d2, squares, active, count, choice, n, items, width, eps, BLOCK, BLOCK_D)
            apply_rules(kinds, limits, picked, counts, forbidden, t + 1, n, items, rules, BLOCK)
    tl.store(ruled + request * 2, relaxed)
    tl.store(ruled + request * 2 + 1, overruled)
