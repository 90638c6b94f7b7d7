"""What a load's calls were, one row a request, and the arrivals that they answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: One call: its first request and how many, when it was sent and done (seconds since the start), why it failed or "".
Call = tuple[int, int, float, float, str]
#: So many reasons are told apart; what fails for yet another is under the last.
_REASONS = 20
_OTHERS = "other reasons"


@dataclass(frozen=True)
class Samples:
    """Requests in the order of their numbers, times in seconds since the load began.

    due: [n] when each was to be sent; in a closed loop that is when it was. sent, done: [n]. ok: bool [n]. worker: [n].
    batch: [n] requests in its call. unsent: [m] due times of requests that were never sent, given up at `ended`.
    reason: int64 [n], why each failed, of `reasons`, which are in the order in which they came; -1 where it succeeded.
    """

    due: Floats
    sent: Floats
    done: Floats
    ok: NDArray[np.bool_]
    worker: Ints
    batch: Ints
    unsent: Floats
    ended: float
    reason: Ints
    reasons: list[str]

    def failures(self, measured: NDArray[np.bool_]) -> dict[str, int]:
        """Reason -> how many of the `measured` (bool [n]) requests failed for it, in the order in which they came."""
        counts = np.bincount(self.reason[measured & ~self.ok], minlength=len(self.reasons)).tolist()
        return {reason: count for reason, count in zip(self.reasons, counts, strict=True) if count}


def samples_of(calls: list[list[Call]], due: Floats | None, ended: float) -> Samples:
    """The rows of every worker's calls. due: [n] of all requests that there were to send; None for a closed loop."""
    worker = np.repeat(np.arange(len(calls)), [len(rows) for rows in calls])
    flat = [call for rows in calls for call in rows]
    first, count = (np.array([call[place] for call in flat], np.int64) for place in (0, 1))
    sent, done = (np.array([call[place] for call in flat], np.float64) for place in (2, 3))
    order = np.argsort(first)
    reason, reasons = _by_reason([call[4] for call in flat], np.argsort(done, kind="stable").tolist())
    repeats = count[order]
    rows = np.repeat(order, repeats)
    asked = int(repeats.sum())
    planned = sent[rows] if due is None else due[:asked]
    unsent = np.zeros(0) if due is None else due[asked:]
    why = reason[rows]
    return Samples(planned, sent[rows], done[rows], why < 0, worker[rows], count[rows], unsent, ended, why, reasons)


def poisson_arrivals(rate: float, seconds: float, batch: int, seed: int) -> Floats:
    """Ascending times in [0, seconds) of requests that come `batch` at a time, `rate` of them a second on average."""
    rng = np.random.default_rng(seed)
    groups = rate / batch
    # Five standard deviations above the mean number; what lies past the end is cut off.
    enough = int(groups * seconds + 5 * (groups * seconds) ** 0.5 + 10)
    times = np.cumsum(rng.exponential(1 / groups, enough))
    return np.repeat(times[times < seconds], batch)


def _by_reason(messages: list[str], came: list[int]) -> tuple[Ints, list[str]]:
    """int64 [n], the reason of each message, -1 for "", and the reasons; came: the order of the messages.

    Where there are too many, those that differ in their numbers alone are one.
    """
    reasons = list(dict.fromkeys(messages[place] for place in came if messages[place]))
    if len(reasons) > _REASONS:
        messages = [re.sub(r"\d+", "#", message) for message in messages]
        reasons = list(dict.fromkeys(messages[place] for place in came if messages[place]))
    if len(reasons) > _REASONS:
        reasons = [*reasons[: _REASONS - 1], _OTHERS]
    place_of = {"": -1, **{reason: place for place, reason in enumerate(reasons)}}
    return np.array([place_of.get(message, len(reasons) - 1) for message in messages], np.int64), reasons
