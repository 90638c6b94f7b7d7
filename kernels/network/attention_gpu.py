"""Triton: the instructions of a network program that read a request's sequence, and attention among fields."""

from __future__ import annotations

import triton
import triton.language as tl

from headrace.kernels.network.products_gpu import block_rows
from headrace.kernels.network.steps_gpu import LOWEST, at, field, get, put


@triton.jit(noinline=True)  # type: ignore[untyped-decorator]
def attend(
    step: tl.tensor,
    held: tl.tensor,
    weights: tl.tensor,
    entries: tl.tensor,
    counts: tl.tensor,
    longest: tl.tensor,
    owner: tl.tensor,
    block: tl.tensor,
    n: tl.tensor,
    ROWS: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    """One entry after another, the sums scaled down whenever a higher logit comes. entries: [B, longest, d]."""
    request = tl.load(owner + block_rows(block, n, ROWS)).to(tl.int64)
    present = tl.minimum(tl.load(counts + request), longest)
    out, width, query = field(step, 0), field(step, 1), field(step, 2)
    scale = tl.load(weights + field(step, 4))
    d = tl.arange(0, BLOCK_D)
    x = get(held, query + d, d < width, ROWS)
    peak = tl.full([ROWS], LOWEST, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    mean = tl.zeros([BLOCK_D, ROWS], tl.float32)
    for b in range(tl.max(present, 0)):
        mask = (d < width)[:, None] & (b < present)[None, :]
        y = tl.load(entries + ((request * longest + b) * width)[None, :] + d[:, None], mask=mask, other=0.0)
        logit = tl.where(b < present, tl.sum(x * y, 0) * scale, LOWEST)
        higher = tl.maximum(peak, logit)
        keep, term = tl.exp(peak - higher), tl.where(b < present, tl.exp(logit - higher), 0.0)
        total = total * keep + term
        mean = mean * keep[None, :] + term[None, :] * y
        peak = higher
    put(held, out + d, d < width, mean / tl.where(present > 0, total, 1.0)[None, :], ROWS)


@triton.jit(noinline=True)  # type: ignore[untyped-decorator]
def mean(
    step: tl.tensor,
    held: tl.tensor,
    entries: tl.tensor,
    counts: tl.tensor,
    longest: tl.tensor,
    owner: tl.tensor,
    block: tl.tensor,
    n: tl.tensor,
    ROWS: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    request = tl.load(owner + block_rows(block, n, ROWS)).to(tl.int64)
    present = tl.minimum(tl.load(counts + request), longest)
    out, width = field(step, 0), field(step, 1)
    d = tl.arange(0, BLOCK_D)
    total = tl.zeros([BLOCK_D, ROWS], tl.float32)
    for b in range(tl.max(present, 0)):
        mask = (d < width)[:, None] & (b < present)[None, :]
        total += tl.load(entries + ((request * longest + b) * width)[None, :] + d[:, None], mask=mask, other=0.0)
    put(held, out + d, d < width, total / tl.maximum(present, 1)[None, :], ROWS)


@triton.jit(noinline=True)  # type: ignore[untyped-decorator]
def self_attend(step: tl.tensor, held: tl.tensor, weights: tl.tensor, ROWS: tl.constexpr, TILE: tl.constexpr) -> None:
    """TILE pairs of a field and a head at a time; the results are summed up where they belong."""
    out, width, q, k, v = field(step, 0), field(step, 1), field(step, 2), field(step, 3), field(step, 4)
    fields, heads = field(step, 5), field(step, 6)
    scale = tl.load(weights + field(step, 7))
    part = width // heads
    for first in range(0, fields * heads, TILE):
        e = first + tl.arange(0, TILE)
        used, side = e < fields * heads, e % heads * part
        # The parts of all heads of all fields lie side by side.
        mine = e * part
        for c in range(part):
            put(held, out + mine + c, used, tl.zeros([TILE, ROWS], tl.float32), ROWS)
        peak = tl.full([TILE, ROWS], LOWEST, tl.float32)
        total = tl.zeros([TILE, ROWS], tl.float32)
        for g in range(fields):
            logit = tl.zeros([TILE, ROWS], tl.float32)
            for c in range(part):
                logit += get(held, q + mine + c, used, ROWS) * get(held, k + g * width + side + c, used, ROWS)
            logit = logit * scale
            higher = tl.maximum(peak, logit, propagate_nan=tl.PropagateNan.ALL)
            keep, term = tl.exp(peak - higher), tl.exp(logit - higher)
            total = total * keep + term
            peak = higher
            tl.debug_barrier()  # what the last field wrote is read
            for c in range(part):
                place = at(held, out + mine + c, ROWS)
                value = tl.load(place, mask=used[:, None], other=0.0) * keep
                value += term * get(held, v + g * width + side + c, used, ROWS)
                tl.store(place, value, mask=used[:, None])
        tl.debug_barrier()
        for c in range(part):
            put(held, out + mine + c, used, get(held, out + mine + c, used, ROWS) / total, ROWS)
