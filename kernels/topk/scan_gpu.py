"""The scan of a GPU's top-k: products of tiles whose scores stay on chip; what may be among the best is appended.

One program owns a block of queries and every so-manieth tile of items. A tile costs its product, one addition or
multiplication a score where the metric or the packing needs it, and one maximum per query; only where a query's maximum
reaches its limit are single scores looked at.
"""

from __future__ import annotations

import triton
import triton.language as tl

ITEMS = 128  # of a tile, for which one bound holds
SAFE, SHORT, TINY = 2.0**60, 2.0**-40, 2.0**-124
#: How items are chosen: all; those of a list; those of a list that also are in the query's own mask.
ALL, LISTED, OWN = 0, 1, 2
_SAFE, _SHORT, _TINY = tl.constexpr(SAFE), tl.constexpr(SHORT), tl.constexpr(TINY)
_ULP, _LOWEST = tl.constexpr(2.0**-22), tl.constexpr(-3.0e38)
_OWN = tl.constexpr(OWN)


@triton.jit  # type: ignore[untyped-decorator]
def append(
    scores: tl.tensor, limit: tl.tensor, error: tl.tensor, rows: tl.tensor, origin: tl.tensor, inside: tl.tensor,
    query: tl.tensor, mask: tl.tensor, stride: tl.tensor, counts: tl.tensor, lower: tl.tensor, upper: tl.tensor,
    found: tl.tensor, room: tl.tensor, ITEMS: tl.constexpr, CHOICE: tl.constexpr,
) -> None:  # fmt: skip
    """Notes the items that reach the limit, with what their float64 score lies between: one per query at a time.

    A tile seldom holds two of a query, and this way the tile's scores are all that the registers have to hold.
    """
    column = tl.arange(0, ITEMS)
    # What overflowed to NaN has the lowest limit there is, and must reach it.
    scores = tl.where(scores > _LOWEST, scores, _LOWEST)
    scores = tl.where(inside[None, :], scores, float("-inf"))
    best, at = tl.max(scores, 1, return_indices=True)
    while tl.max((best >= limit).to(tl.int32), 0) > 0:
        hit = best >= limit
        chosen = origin + at
        if CHOICE != 0:
            chosen = tl.load(rows + chosen, mask=hit, other=0)
        scores = tl.where(column[None, :] == at[:, None], float("-inf"), scores)
        if CHOICE == _OWN:
            word = tl.load(mask + query.to(tl.int64) * stride + chosen // 64, mask=hit, other=0)
            hit = hit & (((word >> (chosen % 64).to(tl.int64)) & 1) != 0)
        place = tl.atomic_add(counts + query, 1, mask=hit, sem="relaxed")
        fits = hit & (place < room)
        to = query * room + place
        # One rounding each, outwards; a bound that is not a number is none.
        low = best - error
        high = best + error
        bounded = error < float("inf")
        tl.store(found + to, chosen, mask=fits)
        tl.store(lower + to, tl.where(bounded, low - tl.abs(low) * _ULP, float("-inf")), mask=fits)
        tl.store(upper + to, tl.where(bounded, high + tl.abs(high) * _ULP, float("inf")), mask=fits)
        # A query without room is decided elsewhere.
        limit = tl.where(hit & (place >= room), float("inf"), limit)
        best, at = tl.max(scores, 1, return_indices=True)


@triton.jit  # type: ignore[untyped-decorator]
def products_as_given(
    queries: tl.tensor, items: tl.tensor, query: tl.tensor, row: tl.tensor, inside: tl.tensor, n_queries: tl.tensor,
    dim: tl.tensor, QUERIES: tl.constexpr, ITEMS: tl.constexpr, STEP: tl.constexpr, COSINE: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:  # fmt: skip
    """Of float32 vectors: products [QUERIES, ITEMS], squared lengths of the items, their largest numbers (cosine)."""
    dots = tl.zeros((QUERIES, ITEMS), tl.float32)
    squares = tl.zeros((ITEMS,), tl.float32)
    largest = tl.zeros((ITEMS,), tl.float32)
    for start in range(0, dim, STEP):
        column = start + tl.arange(0, STEP)
        q_at = query[:, None].to(tl.int64) * dim + column[None, :]
        x_at = row[None, :].to(tl.int64) * dim + column[:, None]
        q = tl.load(queries + q_at, mask=(query[:, None] < n_queries) & (column[None, :] < dim), other=0.0)
        x = tl.load(items + x_at, mask=inside[None, :] & (column[:, None] < dim), other=0.0)
        dots = tl.dot(q, x, dots, input_precision="tf32x3")
        squares += tl.sum(x * x, 0)
        if COSINE:
            largest = tl.maximum(largest, tl.max(tl.abs(x), 0))
    return dots, squares, largest


@triton.jit  # type: ignore[untyped-decorator]
def product(
    q: tl.tensor, x: tl.tensor, dots: tl.tensor, WHOLE: tl.constexpr, WIDEN: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """dots + q x^T, in int32 or float32. WIDEN: for the interpreter, which multiplies bfloat16's bits."""
    if WHOLE:
        return tl.dot(q, tl.trans(x), dots, out_dtype=tl.int32)
    elif WIDEN:
        return tl.dot(q.to(tl.float32), tl.trans(x.to(tl.float32)), dots)
    else:
        return tl.dot(q, tl.trans(x), dots)


@triton.jit  # type: ignore[untyped-decorator]
def products_packed(
    queries: tl.tensor, items: tl.tensor, held: tl.tensor, query: tl.tensor, row: tl.tensor, inside: tl.tensor,
    n_queries: tl.tensor, width: tl.tensor, QUERIES: tl.constexpr, ITEMS: tl.constexpr, STEP: tl.constexpr,
    HOLD: tl.constexpr, WHOLE: tl.constexpr, WIDEN: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Of packed vectors. HOLD: `held` are the queries, and one step takes all of the width."""
    dots = tl.zeros((QUERIES, ITEMS), tl.int32 if WHOLE else tl.float32)
    if HOLD:
        column = tl.arange(0, STEP)
        x = tl.load(items + row[:, None].to(tl.int64) * STEP + column[None, :], mask=inside[:, None], other=0)
        dots = product(held, x, dots, WHOLE, WIDEN)
    else:
        for start in range(0, width, STEP):
            column = start + tl.arange(0, STEP)
            q_at = query[:, None].to(tl.int64) * width + column[None, :]
            x_at = row[:, None].to(tl.int64) * width + column[None, :]
            q = tl.load(queries + q_at, mask=query[:, None] < n_queries, other=0)
            x = tl.load(items + x_at, mask=inside[:, None], other=0)
            dots = product(q, x, dots, WHOLE, WIDEN)
    return dots


@triton.jit(do_not_specialize=["stride", "n_queries", "n_items", "n_tiles", "hop", "first", "last"])  # type: ignore[untyped-decorator]
def scan(
    queries: tl.tensor, items: tl.tensor, by: tl.tensor, scale: tl.tensor, shift: tl.tensor, spread: tl.tensor,
    longest: tl.tensor, rows: tl.tensor, n_rows: tl.tensor, mask: tl.tensor, stride: tl.tensor, factors: tl.tensor,
    square: tl.tensor, limits: tl.tensor, counts: tl.tensor, lower: tl.tensor, upper: tl.tensor, found: tl.tensor,
    suspect: tl.tensor, room: tl.tensor, n_queries: tl.tensor, n_items: tl.tensor, width: tl.tensor,
    n_tiles: tl.tensor, hop: tl.tensor, first: tl.tensor, last: tl.tensor,
    QUERIES: tl.constexpr, ITEMS: tl.constexpr, STEP: tl.constexpr, HOLD: tl.constexpr, PACKED: tl.constexpr,
    WHOLE: tl.constexpr, L2: tl.constexpr, COSINE: tl.constexpr, CHOICE: tl.constexpr,
    WIDEN: tl.constexpr,
) -> None:  # fmt: skip
    """Appends to each query's room the items of tiles first to last - 1 that reach its limit less the tile's error.

    All items: tile t is the catalogue's tile t * hop mod n_tiles, so that any run of tiles is spread over all of it.
    A list: tile t is its entries t * ITEMS and on, of n_rows[0].
    """
    parts = tl.cdiv(n_queries, QUERIES)
    query = tl.program_id(0) % parts * QUERIES + tl.arange(0, QUERIES)
    there = query < n_queries
    reached = tl.load(limits + query, mask=there, other=float("inf"))
    by_spread = tl.load(factors + query, mask=there, other=0.0)
    by_length = tl.load(factors + n_queries + query, mask=there, other=0.0)
    alone = tl.load(factors + 2 * n_queries + query, mask=there, other=0.0)
    q_scale = reached
    if WHOLE:
        q_scale = tl.load(by + query, mask=there, other=0.0)
    held = query
    if HOLD:
        q_at = query[:, None] * STEP + tl.arange(0, STEP)[None, :]
        held = tl.load(queries + q_at, mask=there[:, None], other=0)
    count = n_items
    if CHOICE != 0:
        count = tl.load(n_rows)
        last = tl.minimum(last, tl.cdiv(count, ITEMS))
    for tile in range(first + tl.program_id(0) // parts, last, tl.num_programs(0) // parts):
        if CHOICE != 0:
            origin = tile * ITEMS
            at = origin + tl.arange(0, ITEMS)
            inside = at < count
            row = tl.load(rows + at, mask=inside, other=0)
        else:
            place = ((hop.to(tl.int64) * tile) % n_tiles).to(tl.int32)
            origin = place * ITEMS
            row = origin + tl.arange(0, ITEMS)
            inside = row < n_items
        if PACKED:
            dots = products_packed(
                queries, items, held, query, row, inside, n_queries, width, QUERIES, ITEMS, STEP, HOLD, WHOLE, WIDEN
            )
            if CHOICE != 0:
                rough = tl.max(tl.load(spread + row // ITEMS, mask=inside, other=0.0), 0)
                long = tl.max(tl.load(longest + row // ITEMS, mask=inside, other=0.0), 0)
            else:
                rough = tl.load(spread + place)
                long = tl.load(longest + place)
            scores = dots.to(tl.float32)
            if WHOLE:
                scores = scores * tl.load(scale + row, mask=inside, other=0.0)[None, :]
            if L2:
                if WHOLE:
                    scores = scores * q_scale[:, None]
                scores = scores + tl.load(shift + row, mask=inside, other=0.0)[None, :]
        else:
            dots, squares, largest = products_as_given(
                queries, items, query, row, inside, n_queries, width, QUERIES, ITEMS, STEP, COSINE
            )
            if tl.max((inside & ~(squares < float("inf"))).to(tl.int32), 0) > 0:
                tl.store(suspect, 1)
            # Squares below float32's range are lost.
            long = tl.sqrt(tl.max(squares, 0) * 1.02 + width * _TINY) * 1.0001
            unsafe = tl.max((~(squares < _SAFE * _SAFE)).to(tl.int32), 0) > 0
            rough = 0.0
            scores = dots
            if COSINE:
                length = tl.sqrt(squares)
                short = length < _SHORT
                scores = scores * tl.where(short, 0.0, 1.0 / length)[None, :]
                unsafe = unsafe | (tl.max((short & (largest > 0)).to(tl.int32), 0) > 0)
                long = 1.0
            if L2:
                scores = scores - (squares * 0.5)[None, :]
            long = tl.where(unsafe, float("inf"), long)
        error = by_spread * rough + by_length * long + alone + square * long * long
        limit = reached - error
        limit = limit - tl.abs(limit) * _ULP
        # Where there is no bound everything goes on, but for queries that are out of it.
        limit = tl.where(error < float("inf"), tl.maximum(limit, _LOWEST), _LOWEST)
        limit = tl.where(reached == float("inf"), reached, limit)
        best = tl.max(scores, 1)
        if WHOLE and not L2:
            best = best * q_scale
        if tl.max((~(tl.maximum(best, _LOWEST) < limit)).to(tl.int32), 0) > 0:
            if WHOLE and not L2:
                scores = scores * q_scale[:, None]
            append(
                scores, limit, error, rows, origin, inside, query, mask, stride, counts, lower, upper, found, room,
                ITEMS, CHOICE,
            )  # fmt: skip
