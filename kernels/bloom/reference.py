"""The definition, in plain torch: which bits a key sets, and what insert and contains do with them."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.bloom import check_rows
from headrace.kernels.bloom.sizing import BLOCK_WORDS, LANE_BITS, LANES
from headrace.kernels.checks import check_offsets

_GOLDEN = 0x9E3779B97F4A7C15
_LOW = 0xFFFFFFFF
#: The odd salts of Parquet's split-block Bloom filter, one a lane.
SALTS = (0x47B6137B, 0x44974D91, 0x8824AD5B, 0xA2B7289D, 0x705495C7, 0x2DF1424B, 0x9EFC4947, 0x5C6BFB31)


def bloom_insert(bits: Tensor, rows: Tensor, keys: Tensor, hashes: int, layout: str, threads: int = 0) -> None:
    check_rows(rows, bits.shape[0])
    known = rows >= 0
    place = rows[known].unsqueeze(1) * bits.shape[1] * 64 + positions(keys[known], bits.shape[1], hashes, layout)
    place = place.unique()
    flat = bits.view(-1)
    place = place[(flat[place >> 6] >> (place & 63)) & 1 == 0]
    # Each clear bit once, so adding is the same as OR.
    flat.index_add_(0, place >> 6, torch.ones_like(place) << (place & 63))


def bloom_contains(bits: Tensor, rows: Tensor, keys: Tensor, hashes: int, layout: str, threads: int = 0) -> Tensor:
    check_rows(rows, bits.shape[0])
    seen = torch.zeros_like(keys, dtype=torch.bool)
    if bits.shape[0] == 0:
        return seen
    position = positions(keys, bits.shape[1], hashes, layout)
    for row in rows.unbind(1):
        word = bits.view(-1)[row.clamp_min(0).unsqueeze(1) * bits.shape[1] + (position >> 6)]
        seen |= ((word >> (position & 63)) & 1).all(1) & (row >= 0)
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
    for bank, asked in zip(bits, rows, strict=True):
        check_rows(asked, bank.shape[0])
    check_offsets("offsets", offsets, keys.shape[0])
    owner = torch.repeat_interleave(torch.arange(len(offsets) - 1, device=keys.device), offsets.diff())
    seen = torch.zeros_like(keys, dtype=torch.bool)
    for bank, asked, count in zip(bits, rows, hashes, strict=True):
        seen |= bloom_contains(bank, asked.long().index_select(0, owner), keys, count, layout)
    return seen


def positions(keys: Tensor, words: int, hashes: int, layout: str) -> Tensor:
    """int64 [n, hashes]: the bits of a row of `words` words that each key sets."""
    hashed = _mix(keys + _signed(_GOLDEN))
    steps = torch.arange(hashes, device=keys.device)
    if layout == "classic":
        draws = _mix(hashed.unsqueeze(1) + (steps // 2 + 1) * _signed(_GOLDEN))
        half = torch.where(steps % 2 == 0, _shift(draws, 32), draws & _LOW)
        return _shift(half * (words * 64), 32)
    high, low = _shift(hashed, 32).unsqueeze(1), (hashed & _LOW).unsqueeze(1)
    block = _shift(high * (words // BLOCK_WORDS), 32)
    lane = (high + steps) % LANES
    salt = torch.tensor(SALTS, device=keys.device)[lane]
    bit = ((low * salt) & _LOW) >> 27
    return block * (LANES * LANE_BITS) + lane * LANE_BITS + bit


def _mix(x: Tensor) -> Tensor:
    """The finaliser of SplitMix64 on int64 that wraps."""
    x = (x ^ _shift(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shift(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shift(x, 31)


def _shift(x: Tensor, count: int) -> Tensor:
    """Logical shift right."""
    return (x >> count) & ((1 << (64 - count)) - 1)


def _signed(x: int) -> int:
    return x - 2**64 if x >= 2**63 else x
