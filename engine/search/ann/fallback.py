"""When an exact search is the better one."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable

import torch
from torch import Tensor

FALLBACKS = ("auto", "never", "always")
#: Batch sizes that are tried when an index is built; a batch goes the way of the largest of these that it reaches.
BATCHES = (1, 8, 64, 256)
#: Below this share of allowed items an exact search, whose time falls with the share, wins at every size measured.
SELECTIVE = 0.3
_K = 100
_ROUNDS = 3

Search = Callable[[Tensor, int], object]


def faster_exact(items: Tensor, exact: Search, approximate: Search, seed: int) -> list[bool]:
    """For each of `BATCHES`, whether `exact` took less time for as many items of the catalogue, searched as queries."""
    draw = torch.Generator().manual_seed(seed)
    queries = items[torch.randint(0, len(items), (BATCHES[-1],), generator=draw)]
    k = min(_K, len(items))
    return [_seconds(exact, queries[:size], k) <= _seconds(approximate, queries[:size], k) for size in BATCHES]


def exact_for_batch(faster: list[bool], batch: int) -> bool:
    return faster[max(0, bisect_right(BATCHES, batch) - 1)]


def _seconds(search: Search, queries: Tensor, k: int) -> float:
    search(queries, k)
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        search(queries, k)
        times.append(time.perf_counter() - start)
    return min(times)
