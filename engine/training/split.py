"""The last part of a training log, kept back to watch the training: by whole days, as a test set would be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.data.clock import DAY_MS

#: The share of the rows that is kept back, and how many times it whole days may hold.
SHARE, _EXCESS = 0.1, 2.5
#: With fewer rows a loss is mostly chance.
LEAST = 50


@dataclass(frozen=True)
class Split:
    """held: bool [n], the rows kept back. cut: the first moment of them, ms, where they are the last of the log; None
    where they were drawn from all of it."""

    held: NDArray[np.bool_]
    cut: int | None


def split_of(time: NDArray[np.int64], share: float = SHARE, seed: int = 0) -> Split | None:
    """Which rows of a log validate; None where that would be fewer than `LEAST`, or share is 0.

    time: int64 [n], ms, ascending. Where times are so alike that no moment leaves enough rows on either side, the rows
    are drawn by `seed`.
    Raises ValueError for a share outside 0 to 0.5.
    """
    if not 0 <= share <= 0.5:
        raise ValueError(f"share: expected 0 to 0.5, got {share}")
    if share * len(time) < LEAST:
        return None
    cut = cut_of(time, share)
    if cut is not None:
        return Split(time >= cut, cut)
    held = np.zeros(len(time), np.bool_)
    held[np.random.default_rng(seed).permutation(len(time))[: int(share * len(time))]] = True
    return Split(held, None)


def cut_of(time: NDArray[np.int64], share: float = SHARE) -> int | None:
    """The moment (ms) from which on the last part of a log begins: the fewest whole last days that hold `share` of the
    rows or, where those hold too many, as in a log of hours, the moment that comes closest to the share. None where no
    moment leaves at least a third of the share and at most half of all rows.

    time: int64 [n], ascending.
    """
    if not len(time):
        return None
    count, last = len(time), int(time[-1])
    days = 1 + np.arange(max(1, (last - int(time[0])) // DAY_MS))
    held = count - np.searchsorted(time, last - days * DAY_MS, "right")
    most = min(_EXCESS * share, 0.5) * count
    enough = held >= share * count
    if enough.any() and held[np.argmax(enough)] <= most:
        return last - int(days[np.argmax(enough)]) * DAY_MS + 1
    moments = np.flatnonzero(np.diff(time, prepend=time[0] - 1))
    held = count - moments
    fits = np.flatnonzero((held >= share * count / 3) & (held <= count / 2))
    if not len(fits):
        return None
    place = moments[fits[np.argmin(np.abs(held[fits] - share * count))]]
    return int(time[place])
