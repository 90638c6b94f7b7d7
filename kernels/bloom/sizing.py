"""How many words and bits per key a Bloom filter needs, and the false-positive rate that a size gives."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import combinations

from headrace.kernels.checks import check_int

LAYOUTS = ("block", "classic")
BLOCK_WORDS = 4
LANES = 8
LANE_BITS = 32
MAX_WORDS = 2**25
MAX_HASHES = {"block": LANES, "classic": 64}


def bloom_fpr(capacity: int, words: int, hashes: int, layout: str = "block") -> float:
    """The false-positive rate of a filter of `words` uint64 words that holds `capacity` distinct keys.

    block: exact under ideal hashing, the binomial load of blocks included (closed forms without it promise too little:
    Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007). classic: to second order in the
    variance of the set bits, which the usual (1 - e^(-kn/m))^k leaves out.
    Raises ValueError when an argument is out of range.
    """
    check_shape(words, hashes, layout)
    if capacity < 0:
        raise ValueError(f"capacity: expected at least 0, got {capacity}")
    return _rate(capacity, words, hashes, layout)


def bloom_size(capacity: int, fpr: float, layout: str = "block", formula: str = "exact") -> tuple[int, int]:
    """(words, hashes) of the smallest filter for `capacity` keys at false-positive rate `fpr` (1e-8 to 0.5).

    formula "exact": `bloom_fpr` of the answer is at most `fpr`. For the classic layout that is the optimum
    k = ln(1/δ)/ln 2, m = n ln(1/δ)/ln² 2 with k rounded to a whole number and m to whole words.
    formula "slides" (classic only): k = 1.44 ln(1/δ) rounded, m = 2 n ln(1/δ) rounded up to whole words. The 2 stands
    for 2.0814, so the rate comes out near δ^0.96: 0.0121 for δ = 0.01.
    Raises ValueError when an argument is out of range or the filter would exceed 2^25 words.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout: expected block or classic, got {layout!r}")
    if capacity < 1:
        raise ValueError(f"capacity: expected at least 1, got {capacity}")
    if not 1e-8 <= fpr <= 0.5:
        raise ValueError(f"fpr: expected 1e-8 to 0.5, got {fpr}")
    if formula == "exact":
        words, hashes = _exact_size(capacity, fpr, layout)
    elif formula == "slides" and layout == "classic":
        words = math.ceil(2 * capacity * math.log(1 / fpr) / 64)
        hashes = max(1, round(1.44 * math.log(1 / fpr)))
    else:
        raise ValueError(f"formula: expected exact, or slides with the classic layout, got {formula!r} with {layout}")
    if words > MAX_WORDS:
        raise ValueError(f"capacity: {capacity} keys at {fpr} need {words} words, more than 2^25")
    return words, hashes


def check_shape(words: int, hashes: int, layout: str) -> None:
    """Raises ValueError unless a row of `words` and `hashes` bits a key suit the layout."""
    check_int("hashes", hashes)
    if layout not in LAYOUTS:
        raise ValueError(f"layout: expected block or classic, got {layout!r}")
    if not 1 <= hashes <= MAX_HASHES[layout]:
        raise ValueError(f"hashes: expected 1 to {MAX_HASHES[layout]} for the {layout} layout, got {hashes}")
    if not 1 <= words <= MAX_WORDS:
        raise ValueError(f"words: expected 1 to 2^25 words a row, got {words}")
    if layout == "block" and words % BLOCK_WORDS:
        raise ValueError(f"words: expected a multiple of {BLOCK_WORDS} for the block layout, got {words}")


@lru_cache(256)
def _exact_size(capacity: int, fpr: float, layout: str) -> tuple[int, int]:
    if layout == "block":
        sizes = [
            (_smallest(lambda b, h=h: _block_fpr(capacity, b, h) <= fpr) * BLOCK_WORDS, h)  # type: ignore[misc]
            for h in range(1, LANES + 1)
        ]
    else:
        optimum = math.log2(1 / fpr)
        sizes = [
            (_smallest(lambda w, h=h: _classic_fpr(capacity, w * 64, h) <= fpr), h)  # type: ignore[misc]
            for h in range(max(1, math.floor(optimum) - 1), math.ceil(optimum) + 2)
        ]
    return min(sizes, key=lambda size: (size[0], _rate(capacity, size[0], size[1], layout)))


def _rate(keys: int, words: int, hashes: int, layout: str) -> float:
    if layout == "block":
        return _block_fpr(keys, words // BLOCK_WORDS, hashes)
    return _classic_fpr(keys, words * 64, hashes)


def _smallest(enough: Callable[[int], bool]) -> int:
    """The least n >= 1 with enough(n), for a condition that stays true once true."""
    high = 1
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _block_fpr(keys: int, blocks: int, hashes: int) -> float:
    """Inclusion and exclusion over the probed lanes found clear; each key's lanes run on from a random first lane."""
    rate = 0.0
    for miss, weight in _misses(hashes):
        touched = (1 - miss) / blocks
        clear = 0.0 if touched >= 1 and keys else math.exp(keys * math.log1p(-touched)) if keys else 1.0
        rate += weight * clear
    return min(max(rate, 0.0), 1.0)


@cache
def _misses(hashes: int) -> list[tuple[float, int]]:
    """(the chance that a key of a block leaves some probed lanes clear, how often it counts), for all sets of lanes."""
    covers = [{(first + i) % LANES for i in range(hashes)} for first in range(LANES)]
    weights: Counter[float] = Counter()
    for size in range(hashes + 1):
        for lanes in combinations(range(hashes), size):
            miss = sum((1 - 1 / LANE_BITS) ** len(cover.intersection(lanes)) for cover in covers) / LANES
            weights[miss] += (-1) ** size
    return [(miss, weight) for miss, weight in weights.items() if weight]


def _classic_fpr(keys: int, bits: int, hashes: int) -> float:
    draws = keys * hashes
    clear = math.exp(draws * math.log1p(-1 / bits))
    both_clear = math.exp(draws * math.log1p(-2 / bits))
    variance = max(clear / bits + (1 - 1 / bits) * both_clear - clear * clear, 0.0)
    full = 1 - clear
    spread = hashes * (hashes - 1) / 2 * full ** (hashes - 2) * variance if hashes > 1 and full > 0 else 0.0
    return min(full**hashes + spread, 1.0)
