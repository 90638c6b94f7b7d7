"""The Triton kernels. A program takes BLOCK keys; a filter is read and written as 32-bit lanes."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from headrace.kernels.bloom import check_rows
from headrace.kernels.checks import check_offsets

_BLOCK = 256
_GOLDEN = tl.constexpr(0x9E3779B97F4A7C15)


@triton.jit  # type: ignore[untyped-decorator]
def _mix(x: tl.tensor) -> tl.tensor:
    x = (x ^ (x >> 30)) * tl.full(x.shape, 0xBF58476D1CE4E5B9, tl.uint64)
    x = (x ^ (x >> 27)) * tl.full(x.shape, 0x94D049BB133111EB, tl.uint64)
    return x ^ (x >> 31)


@triton.jit  # type: ignore[untyped-decorator]
def _salts(lane: tl.tensor) -> tl.tensor:
    even = tl.where(lane < 4, tl.where(lane < 2, 0x47B6137B, 0x8824AD5B), tl.where(lane < 6, 0x705495C7, 0x9EFC4947))
    odd = tl.where(lane < 4, tl.where(lane < 2, 0x44974D91, 0xA2B7289D), tl.where(lane < 6, 0x2DF1424B, 0x5C6BFB31))
    return tl.where(lane % 2 == 0, even, odd).to(tl.uint32)


@triton.jit  # type: ignore[untyped-decorator]
def _load_hash(keys: tl.tensor, index: tl.tensor, inside: tl.tensor) -> tl.tensor:
    key = tl.load(keys + index, mask=inside, other=0).to(tl.uint64)
    return _mix(key + tl.full(key.shape, _GOLDEN, tl.uint64))


@triton.jit  # type: ignore[untyped-decorator]
def _block_bits(hashed: tl.tensor, words: tl.tensor, hashes: tl.tensor) -> tl.tensor:
    """Lane offsets in the row and the bit of each lane (0 where the lane is not used): [BLOCK, 8]."""
    high = hashed >> 32
    low = hashed.to(tl.uint32)
    lane = tl.arange(0, 8)
    first = (high & 7).to(tl.int32)
    turn = (lane[None, :] - first[:, None]) & 7
    place = (low[:, None] * _salts(lane)[None, :]) >> 27
    bit = tl.where(turn < hashes, tl.full(place.shape, 1, tl.uint32) << place, 0)
    block = ((high * (words // 4)) >> 32).to(tl.int64)
    return block[:, None] * 8 + lane[None, :], bit.to(tl.int32, bitcast=True)


@triton.jit  # type: ignore[untyped-decorator]
def _classic_bit(hashed: tl.tensor, words: tl.tensor, step: tl.tensor) -> tl.tensor:
    """Lane offset in the row and bit of a key's draw number `step`: [BLOCK]."""
    draw = _mix(hashed + tl.full(hashed.shape, _GOLDEN, tl.uint64) * (step // 2 + 1))
    half = tl.where(step % 2 == 0, draw >> 32, draw & 0xFFFFFFFF)
    position = ((half * (words * 64)) >> 32).to(tl.int64)
    bit = tl.full(position.shape, 1, tl.uint32) << (position & 31).to(tl.uint32)
    return position >> 5, bit.to(tl.int32, bitcast=True)


@triton.jit(do_not_specialize=["n", "filters"])  # type: ignore[untyped-decorator]
def _insert_kernel(
    bits: tl.tensor,
    rows: tl.tensor,
    keys: tl.tensor,
    n: tl.tensor,
    filters: tl.tensor,
    words: tl.tensor,
    hashes: tl.tensor,
    CLASSIC: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row = tl.load(rows + index, mask=index < n, other=-1)
    known = (row >= 0) & (row < filters)
    hashed = _load_hash(keys, index, index < n)
    base = bits + tl.where(known, row, 0) * words * 2
    if CLASSIC:
        for step in range(0, hashes):
            offset, bit = _classic_bit(hashed, words, step)
            tl.atomic_or(base + offset, bit, mask=known, sem="relaxed")
    else:
        offset, bit = _block_bits(hashed, words, hashes)
        place = base[:, None] + offset
        now = tl.load(place, mask=known[:, None], other=0)
        tl.atomic_or(place, bit, mask=known[:, None] & ((now & bit) != bit), sem="relaxed")


@triton.jit(do_not_specialize=["n", "filters"])  # type: ignore[untyped-decorator]
def _contains_kernel(
    bits: tl.tensor,
    rows: tl.tensor,
    keys: tl.tensor,
    seen: tl.tensor,
    n: tl.tensor,
    fan: tl.tensor,
    filters: tl.tensor,
    words: tl.tensor,
    hashes: tl.tensor,
    CLASSIC: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < n
    hashed = _load_hash(keys, index, inside)
    found = tl.zeros([BLOCK], tl.int32)
    for f in range(0, fan):
        row = tl.load(rows + index * fan + f, mask=inside, other=-1)
        known = (row >= 0) & (row < filters)
        base = bits + tl.where(known, row, 0) * words * 2
        if CLASSIC:
            held = known.to(tl.int32)
            for step in range(0, hashes):
                offset, bit = _classic_bit(hashed, words, step)
                word = tl.load(base + offset, mask=held != 0, other=0)
                held = held & ((word & bit) != 0).to(tl.int32)
        else:
            offset, bit = _block_bits(hashed, words, hashes)
            word = tl.load(base[:, None] + offset, mask=known[:, None], other=0)
            missing = tl.max(((word & bit) != bit).to(tl.int32), axis=1)
            held = known.to(tl.int32) & (1 - missing)
        found = found | held
    tl.store(seen + index, found.to(tl.int8), mask=inside)


def bloom_insert(bits: Tensor, rows: Tensor, keys: Tensor, hashes: int, layout: str, threads: int = 0) -> None:
    _check_rows(rows, bits)
    n = keys.shape[0]
    if n and bits.shape[0]:
        _insert_kernel[(triton.cdiv(n, _BLOCK),)](
            bits.view(torch.int32), rows, keys, n, *bits.shape, hashes, CLASSIC=layout == "classic", BLOCK=_BLOCK
        )


def bloom_contains(bits: Tensor, rows: Tensor, keys: Tensor, hashes: int, layout: str, threads: int = 0) -> Tensor:
    _check_rows(rows, bits)
    n, fan = rows.shape
    seen = torch.zeros(n, dtype=torch.bool, device=keys.device)
    if n and bits.shape[0]:
        _contains_kernel[(triton.cdiv(n, _BLOCK),)](
            bits.view(torch.int32),
            *(rows, keys, seen.view(torch.int8)),
            *(n, fan, *bits.shape, hashes),
            CLASSIC=layout == "classic",
            BLOCK=_BLOCK,
        )
    return seen


def bloom_contains_lists(
    bits: list[Tensor],
    rows: list[Tensor],
    hashes: list[int],
    offsets: Tensor,
    keys: Tensor,
    layout: str,
    threads: int = 0,
) -> Tensor:
    # The banks differ in size, so each has a launch of its own.
    _check_lists(offsets, keys)
    owner = torch.searchsorted(offsets, torch.arange(len(keys), device=keys.device), right=True) - 1
    seen = torch.zeros_like(keys, dtype=torch.bool)
    for bank, asked, count in zip(bits, rows, hashes, strict=True):
        seen |= bloom_contains(bank, asked.long().index_select(0, owner), keys, count, layout)
    return seen


def _check_rows(rows: Tensor, bits: Tensor) -> None:
    """Waits for the device; inside a CUDA graph's capture, where that is not allowed, bad rows are only masked out."""
    if not (rows.is_cuda and torch.cuda.is_current_stream_capturing()):
        check_rows(rows, bits.shape[0])


def _check_lists(offsets: Tensor, keys: Tensor) -> None:
    if not (keys.is_cuda and torch.cuda.is_current_stream_capturing()):
        check_offsets("offsets", offsets, keys.shape[0])
