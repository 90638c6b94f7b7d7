"""A bank of Bloom filters compiled by numba: one 512-bit block, a cache line, for each key, pairs in parallel."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Ints = NDArray[np.int64]

HASHES = 6


def size(capacity: int, fpr: float) -> tuple[int, int]:
    """(uint64 words a filter, hashes). A block takes a tenth more bits than the classic filter, for its keys vary."""
    bits = 1.1 * capacity * math.log(1 / fpr) / math.log(2) ** 2
    return 8 * math.ceil(bits / 512), HASHES


def _mixed(key: int) -> Any:
    """Murmur3's finaliser."""
    x = np.uint64(key)
    x ^= x >> np.uint64(33)
    x *= np.uint64(0xFF51AFD7ED558CCD)
    x ^= x >> np.uint64(33)
    x *= np.uint64(0xC4CEB9FE1A85EC53)
    return x ^ (x >> np.uint64(33))


def _block(x: Any, words: int) -> Any:
    """First word of the key's block."""
    blocks = np.uint64(words // 8)
    return np.int64(((x >> np.uint64(32)) * blocks) >> np.uint64(32)) * 8


def _insert(bits: Words, rows: Ints, keys: Ints, hashes: int) -> None:
    """In one thread: two keys may share a word."""
    for i in range(len(keys)):
        x = _mixed(keys[i])
        start = _block(x, bits.shape[1])
        x = x * np.uint64(0x9E3779B97F4A7C15)
        for _ in range(hashes):
            bit = x >> np.uint64(55)
            bits[rows[i], start + np.int64(bit >> np.uint64(6))] |= np.uint64(1) << (bit & np.uint64(63))
            x = x << np.uint64(9)


def _contains(bits: Words, rows: Ints, keys: Ints, hashes: int) -> NDArray[np.bool_]:
    out = np.empty(len(keys), np.bool_)
    for i in numba.prange(len(keys)):
        x = _mixed(keys[i])
        start = _block(x, bits.shape[1])
        x = x * np.uint64(0x9E3779B97F4A7C15)
        found = True
        for _ in range(hashes):
            bit = x >> np.uint64(55)
            word = bits[rows[i], start + np.int64(bit >> np.uint64(6))]
            if (word >> (bit & np.uint64(63))) & np.uint64(1) == np.uint64(0):
                found = False
                break
            x = x << np.uint64(9)
        out[i] = found
    return out


_mixed = numba.njit(cache=True)(_mixed)
_block = numba.njit(cache=True)(_block)
insert = numba.njit(cache=True)(_insert)
contains = numba.njit(parallel=True, cache=True)(_contains)
