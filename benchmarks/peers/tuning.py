"""Settings that whoever tunes a peer would try, tried: the fastest is what is measured."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from typing import Any

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


def _seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
