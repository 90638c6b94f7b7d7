"""Timing in turns: providers of one case are timed round by round, in an order drawn anew for each round.

What the machine does meanwhile (another process, a clock that changes) then falls on all of them alike.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

#: A round lasts at least this long, so that the clock's own cost and grain vanish in it.
_ROUND_SECONDS = 1e-3


@dataclass(frozen=True)
class Budget:
    """Seconds for each provider of a case, and the least and most rounds it gets."""

    seconds: float
    least: int
    most: int


QUICK = Budget(0.5, 5, 60)
FULL = Budget(1.5, 7, 200)


@dataclass(frozen=True)
class Timing:
    """rounds: milliseconds of one call, each the mean of a round of `inner` calls, in the order they were taken."""

    rounds: list[float]
    inner: int


def nothing() -> None:
    """Waits for nothing: a CPU's work is done when its call returns."""


def interleave(
    calls: Mapping[str, Callable[[], Any]], budget: Budget, seed: int = 0, wait: Callable[[], None] = nothing
) -> dict[str, Timing]:
    """Times every call. wait: called before the clock is read (waits for a GPU)."""
    inner = {}
    rounds = {}
    for name, call in calls.items():
        seconds = _once(call, 1, wait)  # the first call builds caches
        seconds = min(_once(call, 1, wait) for _ in range(2 if seconds < budget.seconds else 1))
        inner[name] = max(1, round(_ROUND_SECONDS / max(seconds, 1e-9)))
        each = seconds * inner[name]
        rounds[name] = min(max(int(budget.seconds / each), budget.least), budget.most)
    samples: dict[str, list[float]] = {name: [] for name in calls}
    with _no_garbage_collection():
        for turn in _turns(rounds, seed):
            samples[turn].append(_once(calls[turn], inner[turn], wait) * 1e3)
    return {name: Timing(samples[name], inner[name]) for name in calls}


def _turns(rounds: Mapping[str, int], seed: int) -> Iterator[str]:
    """Each name as often as it has rounds, spread evenly over the whole, the order within a round drawn anew."""
    draw = random.Random(seed)
    whole = max(rounds.values(), default=0)
    for turn in range(whole):
        due = [name for name, n in rounds.items() if (turn + 1) * n // whole > turn * n // whole]
        draw.shuffle(due)
        yield from due


def _once(call: Callable[[], Any], times: int, wait: Callable[[], None]) -> float:
    """Seconds of one of `times` calls."""
    wait()
    start = time.perf_counter()
    for _ in range(times):
        call()
    wait()
    return (time.perf_counter() - start) / times


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
