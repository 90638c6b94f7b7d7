"""Triton parts that DPP and MMR share. One program serves one list; its state lies in scratch memory of the GPU."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

#: Items and columns that a program handles at once.
BLOCK = 128
BLOCK_D = 16


@triton.jit  # type: ignore[untyped-decorator]
def dots(
    vectors: tl.tensor,
    n: tl.tensor,
    width: tl.tensor,
    item: tl.tensor,
    at: tl.tensor,
    BLOCK: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> tl.tensor:
    """float64 [BLOCK]: inner products of items `at` with `item`."""
    total = tl.zeros((BLOCK,), tl.float64)
    for start in range(0, width, BLOCK_D):
        column = start + tl.arange(0, BLOCK_D)
        inside = column < width
        x = tl.load(vectors + item * width + column, mask=inside, other=0.0).to(tl.float64)
        rows = vectors + at[:, None] * width + column[None, :]
        tile = tl.load(rows, mask=(at < n)[:, None] & inside[None, :], other=0.0).to(tl.float64)
        total += tl.sum(tile * x[None, :], axis=1)
    return total


@triton.jit  # type: ignore[untyped-decorator]
def best(score: tl.tensor, forbidden: tl.tensor, n: tl.tensor, mask: tl.tensor, BLOCK: tl.constexpr) -> tl.tensor:
    """The position of the largest score among items with no bit of `mask` in `forbidden`; -1 when there is none."""
    top = tl.full((), float("-inf"), tl.float64)
    where = tl.full((), -1, tl.int64)
    for start in range(0, n, BLOCK):
        at = start + tl.arange(0, BLOCK).to(tl.int64)
        x = tl.load(score + at, mask=at < n, other=float("-inf"))
        if mask != 0:
            bits = tl.load(forbidden + at, mask=at < n, other=0)
            x = tl.where((bits & mask) == 0, x, float("-inf"))
        peak = tl.max(x, axis=0)
        place = tl.min(tl.where(x == peak, at, n), axis=0)
        where = tl.where(peak > top, place, where)
        top = tl.maximum(peak, top)
    return where


@triton.jit  # type: ignore[untyped-decorator]
def choose(
    score: tl.tensor, forbidden: tl.tensor, n: tl.tensor, rules: tl.tensor, BLOCK: tl.constexpr
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """The next pick, whether a rule had to be dropped for it, and whether the rules forbade the best item."""
    free = best(score, forbidden, n, 0, BLOCK)
    kept = rules
    choice = best(score, forbidden, n, (1 << kept) - 1, BLOCK)
    while choice < 0:
        kept -= 1
        choice = best(score, forbidden, n, (1 << kept) - 1, BLOCK)
    return choice, (kept < rules).to(tl.int64), (choice != free).to(tl.int64)


@triton.jit  # type: ignore[untyped-decorator]
def reserve(pinned: tl.tensor, base: tl.tensor, steps: tl.tensor) -> None:
    """Takes the pinned items out of the free choice."""
    tl.debug_barrier()
    for t in range(0, steps):
        pin = tl.load(pinned + t)
        if pin >= 0:
            tl.store(base + pin, float("-inf"))


@triton.jit  # type: ignore[untyped-decorator]
def pick(
    score: tl.tensor, forbidden: tl.tensor, pin: tl.tensor, n: tl.tensor, rules: tl.tensor, BLOCK: tl.constexpr
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """The pinned item, or else the best one; whether it breaks a rule; whether the rules forbade the best item."""
    choice = pin
    broken = tl.full((), 0, tl.int64)
    forbade = tl.full((), 0, tl.int64)
    if pin >= 0:
        broken = (tl.load(forbidden + pin) != 0).to(tl.int64)
    else:
        choice, broken, forbade = choose(score, forbidden, n, rules, BLOCK)
    return choice, broken, forbade


@triton.jit  # type: ignore[untyped-decorator]
def store_gain(gain: tl.tensor, value: tl.tensor) -> None:
    """At most float32's largest number in size: infinite gains are those of places that nothing fills."""
    most = 3.4028234663852886e38
    tl.store(gain, tl.minimum(tl.maximum(value, -most), most).to(tl.float32))


@triton.jit  # type: ignore[untyped-decorator]
def apply_rules(
    kinds: tl.tensor,
    limits: tl.tensor,
    picked: tl.tensor,
    counts: tl.tensor,
    forbidden: tl.tensor,
    position: tl.tensor,
    n: tl.tensor,
    items: tl.tensor,
    rules: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Brings the rules' counts, and the bits of what each rule forbids, to the state before pick `position`."""
    for r in range(0, rules):
        span = tl.load(limits + r * 3)
        most = tl.load(limits + r * 3 + 1)
        prefix = tl.load(limits + r * 3 + 2)
        ended = (prefix != 0) & (position >= span)
        row = kinds + r * items
        enter = tl.full((), -1, tl.int32)
        leave = tl.full((), -1, tl.int32)
        if (position >= 1) & (span > 1):
            enter = tl.load(row + tl.load(picked + position - 1))
        if (position >= span) & (span > 1):
            leave = tl.load(row + tl.load(picked + position - span))
        for start in range(0, n, BLOCK):
            at = start + tl.arange(0, BLOCK).to(tl.int64)
            kind = tl.load(row + at, mask=at < n, other=-1)
            count = tl.load(counts + r * items + at, mask=at < n, other=0)
            count += (kind == enter).to(tl.int32) - (kind == leave).to(tl.int32)
            tl.store(counts + r * items + at, count, mask=at < n)
            blocked = (kind >= 0) & (count >= most) & (ended == 0)
            bits = tl.load(forbidden + at, mask=(at < n) & (r > 0), other=0)
            tl.store(forbidden + at, bits | (blocked.to(tl.int32) << r), mask=at < n)


def scratch(vectors: Tensor, kinds: Tensor | None, limits: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """kinds, limits (stand-ins without rules), counts and forbidden on the vectors' device, and the number of rules."""
    device, items = vectors.device, vectors.shape[0]
    rules = 0 if limits is None else limits.shape[0]
    none = torch.zeros(1, dtype=torch.int32, device=device)
    rows = none if kinds is None else kinds.contiguous()
    spans = torch.zeros(1, 3, dtype=torch.int64) if limits is None else limits.contiguous()
    counts = torch.zeros(max(1, rules * items), dtype=torch.int32, device=device)
    return rows, spans.to(device), counts, torch.zeros(max(1, items), dtype=torch.int32, device=device), rules
