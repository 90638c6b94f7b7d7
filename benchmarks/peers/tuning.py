"""Settings that whoever tunes a peer would try, tried: the fastest is what is measured."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from headrace.benchmarks.lists import Lists
from headrace.kernels import settings

Call = Callable[[], Any]

#: A call this long is tried once more only, after its first time.
_LONG_SECONDS = 0.2


def fastest(*calls: Call) -> Call:
    """The call that takes least time here: the best of three after a first one, in turns."""
    if len(calls) == 1:
        return calls[0]
    first = min(_seconds(call) for call in calls)
    best = [float("inf")] * len(calls)
    for _ in range(1 if first > _LONG_SECONDS else 3):
        best = [min(so_far, _seconds(call)) for so_far, call in zip(best, calls, strict=True)]
    return calls[best.index(min(best))]


def fastest_blas(call: Call) -> Call:
    """`call` with its BLAS on one thread or on all that the run has.

    On small products threaded BLAS often waits for its threads longer than it computes.
    """
    if settings.get_threads() == 1 or not importlib.util.find_spec("threadpoolctl"):
        return call
    from threadpoolctl import ThreadpoolController

    limit = ThreadpoolController().limit

    def alone() -> Any:
        with limit(limits=1, user_api="blas"):
            return call()

    return fastest(call, alone)


def fastest_batches(pick: Callable[[Lists], torch.Tensor], lists: Lists) -> Call:
    """`pick` over `lists` in batches of 8, 64, 256 or all at once, torch on one thread or on all that the run has.

    A way is chosen by the time that its first batch takes a list.
    """
    batch = len(lists.offsets) - 1
    ways = [
        (size, threads) for size in sorted({min(size, batch) for size in (8, 64, 256, batch)}) for threads in (1, 0)
    ]
    if settings.get_threads() == 1:
        ways = ways[1::2]

    def call(threads: int, parts: list[Lists]) -> torch.Tensor:
        before = torch.get_num_threads()
        torch.set_num_threads(threads or before)
        try:
            return torch.cat([pick(part) for part in parts])
        finally:
            torch.set_num_threads(before)

    split = {size: lists.split(size) for size, _ in ways}
    trials = {(size, threads): partial(call, threads, split[size][:1]) for size, threads in ways}
    for trial in trials.values():
        trial()
    a_list = {way: min(_seconds(trial) for _ in range(2)) / way[0] for way, trial in trials.items()}
    size, threads = min(a_list, key=a_list.__getitem__)
    return fastest_blas(partial(call, threads, split[size]))


def _seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
