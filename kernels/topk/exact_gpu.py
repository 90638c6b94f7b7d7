"""Float64 scores on a GPU in the reference's order of additions, of survivors or of all items."""

from __future__ import annotations

import triton
import triton.language as tl

from headrace.kernels.topk.queries_gpu import FULL, UNSAFE
from headrace.kernels.topk.select_gpu import keep_best

_UNSAFE, _FULL = tl.constexpr(UNSAFE), tl.constexpr(FULL)


@triton.jit  # type: ignore[untyped-decorator]
def fold(
    lanes: tl.tensor, ITEMS: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Lanes 8 -> 4 -> 2 -> 1, lane i with lane i + half."""
    lanes = tl.sum(tl.reshape(lanes, (ITEMS, 2, 4)), 1)
    lanes = tl.sum(tl.reshape(lanes, (ITEMS, 2, 2)), 1)
    return tl.sum(lanes, 1)


@triton.jit  # type: ignore[untyped-decorator]
def exact_scores(
    queries: tl.tensor, items: tl.tensor, query: tl.tensor, row: tl.tensor, inside: tl.tensor, dim: tl.tensor,
    L2: tl.constexpr, COSINE: tl.constexpr, ITEMS: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """float64 [ITEMS], what ranks them. Must be compiled without fused multiply-add: the reference rounds twice."""
    lane = tl.arange(0, 8)
    lanes = tl.zeros((ITEMS, 8), tl.float64)
    item_lanes = tl.zeros((ITEMS, 8), tl.float64)
    query_lanes = tl.zeros((1, 8), tl.float64)
    for start in range(0, dim, 8):
        column = start + lane
        there = inside[:, None] & (column[None, :] < dim)
        q = tl.load(queries + query.to(tl.int64) * dim + column, mask=column < dim, other=0.0).to(tl.float64)[None, :]
        x = tl.load(items + row[:, None].to(tl.int64) * dim + column[None, :], mask=there, other=0.0).to(tl.float64)
        if L2:
            lanes += (q - x) * (q - x)
        else:
            lanes += q * x
        if COSINE:
            item_lanes += x * x
            query_lanes += q * q
    scores = fold(lanes, ITEMS)
    if L2:
        scores = -scores
    if COSINE:
        lengths = tl.sqrt(fold(query_lanes, 1)) * tl.sqrt(fold(item_lanes, ITEMS))
        scores = tl.where(lengths > 0, scores / tl.where(lengths > 0, lengths, 1.0), 0.0)
    return scores


@triton.jit(do_not_specialize=["room"])  # type: ignore[untyped-decorator]
def rescore(
    queries: tl.tensor, items: tl.tensor, found: tl.tensor, counts: tl.tensor, scores: tl.tensor, room: tl.tensor,
    dim: tl.tensor, L2: tl.constexpr, COSINE: tl.constexpr, ITEMS: tl.constexpr,
) -> None:  # fmt: skip
    """The scores of each query's survivors found [n_queries, room]."""
    blocks = tl.cdiv(room, ITEMS)
    slot = tl.program_id(0) % blocks * ITEMS + tl.arange(0, ITEMS)
    query = tl.program_id(0) // blocks
    inside = slot < tl.load(counts + query)
    if tl.max(inside.to(tl.int32), 0) > 0:
        at = query.to(tl.int64) * room + slot
        row = tl.load(found + at, mask=inside, other=0)
        tl.store(scores + at, exact_scores(queries, items, query, row, inside, dim, L2, COSINE, ITEMS), mask=inside)


@triton.jit(do_not_specialize=["stride", "room", "n_queries", "n_items", "parts", "k"])  # type: ignore[untyped-decorator]
def exhaust(
    queries: tl.tensor, items: tl.tensor, mask: tl.tensor, stride: tl.tensor, states: tl.tensor, scores: tl.tensor,
    rows: tl.tensor, best: tl.tensor, chosen: tl.tensor, room: tl.tensor, n_queries: tl.tensor, n_items: tl.tensor,
    dim: tl.tensor, parts: tl.tensor, k: tl.tensor, MASKED: tl.constexpr, L2: tl.constexpr, COSINE: tl.constexpr,
    ITEMS: tl.constexpr,
) -> None:  # fmt: skip
    """For queries that the scan left open: the best of each part of all items, best and chosen [n_queries, parts, k].

    scores and rows: a room of k + ITEMS at least for each program. Returns at once where every query is decided.
    """
    part = tl.program_id(0) % parts
    span = tl.cdiv(tl.cdiv(n_items, parts), ITEMS) * ITEMS
    first = part * span
    last = tl.minimum(first + span, n_items)
    scores += tl.program_id(0).to(tl.int64) * room
    rows += tl.program_id(0).to(tl.int64) * room
    for each in range(tl.program_id(0) // parts, n_queries, tl.num_programs(0) // parts):
        query = tl.zeros((), tl.int64) + each
        state = tl.load(states + query)
        if (state == _UNSAFE) | (state == _FULL):
            held = tl.full((), 0, tl.int32)
            least = tl.full((), float("-inf"), tl.float64)
            for start in range(first, last, ITEMS):
                row = start + tl.arange(0, ITEMS)
                inside = row < last
                if MASKED:
                    word = tl.load(mask + query.to(tl.int64) * stride + row // 64, mask=inside, other=0)
                    inside = inside & (((word >> (row % 64).to(tl.int64)) & 1) != 0)
                if tl.max(inside.to(tl.int32), 0) > 0:
                    exact = exact_scores(queries, items, query, row, inside, dim, L2, COSINE, ITEMS)
                    # Rows rise, so a tie with the k-th best comes too late.
                    better = inside & (exact > least) & (exact < float("inf"))
                    place = held + tl.cumsum(better.to(tl.int32), 0) - 1
                    tl.store(scores + place, exact, mask=better)
                    tl.store(rows + place, row, mask=better)
                    held += tl.sum(better.to(tl.int32), 0)
                    if held + ITEMS > room:
                        held, key = keep_best(scores, rows, held, k, scores, rows, ITEMS)
                        bits = key ^ ((key >> 63) & 0x7FFFFFFFFFFFFFFF)
                        least = bits.to(tl.float64, bitcast=True)
            at = (query.to(tl.int64) * parts + part) * k
            held, key = keep_best(scores, rows, held, k, best + at, chosen + at, ITEMS)
            for start in range(0, k, ITEMS):
                place = start + tl.arange(0, ITEMS)
                tl.store(chosen + at + place, -1, mask=(place >= held) & (place < k))
