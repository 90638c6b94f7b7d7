"""What a load's calls were, one row a request, and the arrivals that they answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: One call: its first request and how many, when it was sent and done (seconds since the start), whether it succeeded.
Call = tuple[int, int, float, float, bool]


@dataclass(frozen=True)
class Samples:
    """Requests in the order of their numbers, times in seconds since the load began.

    due: [n] when each was to be sent; in a closed loop that is when it was. sent, done: [n]. ok: bool [n]. worker: [n].
    batch: [n] requests in its call. unsent: [m] due times of requests that were never sent, given up at `ended`.
    error: the first error's message, "" without errors.
    """

    due: Floats
    sent: Floats
    done: Floats
    ok: NDArray[np.bool_]
    worker: Ints
    batch: Ints
    unsent: Floats
    ended: float
    error: str = ""


def samples_of(calls: list[list[Call]], due: Floats | None, ended: float, error: str) -> Samples:
    """The rows of every worker's calls. due: [n] of all requests that there were to send; None for a closed loop."""
    worker = np.repeat(np.arange(len(calls)), [len(rows) for rows in calls])
    flat = [call for rows in calls for call in rows]
    first, count = (np.array([call[place] for call in flat], np.int64) for place in (0, 1))
    sent, done = (np.array([call[place] for call in flat], np.float64) for place in (2, 3))
    ok = np.array([call[4] for call in flat], np.bool_)
    order = np.argsort(first)
    repeats = count[order]
    rows = np.repeat(order, repeats)
    asked = int(repeats.sum())
    planned = sent[rows] if due is None else due[:asked]
    unsent = np.zeros(0) if due is None else due[asked:]
    return Samples(planned, sent[rows], done[rows], ok[rows], worker[rows], count[rows], unsent, ended, error)


def poisson_arrivals(rate: float, seconds: float, batch: int, seed: int) -> Floats:
    """Ascending times in [0, seconds) of requests that come `batch` at a time, `rate` of them a second on average."""
    rng = np.random.default_rng(seed)
    groups = rate / batch
    # Five standard deviations above the mean number; what lies past the end is cut off.
    enough = int(groups * seconds + 5 * (groups * seconds) ** 0.5 + 10)
    times = np.cumsum(rng.exponential(1 / groups, enough))
    return np.repeat(times[times < seconds], batch)
