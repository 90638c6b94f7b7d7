"""Whether the times of a log mean anything: logs come shuffled, sorted by item, or with one time for all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headrace.data.clock import DAY_MS
from headrace.data.dataset import InteractionLog

#: Distinct times for each row that a log of any use has, unless it has many in all.
_DISTINCT, _MANY = 0.01, 50
#: The share of users' steps in time that go one way in the item's row, from which on items were the order.
_BY_ITEM = 0.99
#: How near the gaps of shuffled times are to those of drawn ones; steps that any of this is told by; rows looked at.
_NEAR, _STEPS, _ROWS = 0.15, 500, 200_000
#: What events without times of their own are spread over.
_SPREAD_MS = 14 * DAY_MS


def in_some_order(log: InteractionLog, seed: int) -> tuple[InteractionLog, str | None]:
    """The log, and a sentence (without its full stop) on what its times are not, where something speaks against them.

    Where they are one or few, or events go by item, the log comes back in an order drawn by `seed`, over the two weeks
    before its last time, so that nothing is learnt from what is not there: a row then knows of a random part of the
    others. Times that look shuffled are such an order already.
    """
    if fault := _no_order(log):
        order = np.random.default_rng(seed).permutation(len(log))
        last = int(log.time[-1])
        drawn = log.take(order)
        drawn.time[:] = np.linspace(last - _SPREAD_MS, last, len(log)).astype(np.int64)
        return drawn, f"{fault}; the events are taken in a drawn order"
    if _shuffled(log):
        words = "each user's events lie as if times had been drawn for them; a log with shuffled times looks like this"
        return log, f"log: time: {words}"
    return log, None


def _no_order(log: InteractionLog) -> str | None:
    rows = len(log)
    distinct = 1 + int((np.diff(log.time) > 0).sum()) if rows else 0
    if rows >= 2 and distinct == 1:
        return f"log: time: all {rows} rows have the same"
    if distinct < _MANY and distinct < _DISTINCT * rows:
        return f"log: time: {rows} rows have {distinct} times in all"
    if rows < 2 * len(np.unique(log.item)):
        return None
    # Equal times keep the order of the source.
    order = np.argsort(log.user, kind="stable")
    step = np.diff(log.item[order].astype(np.int64))[np.diff(log.user[order]) == 0]
    step = step[step != 0]
    share = max((step > 0).mean(), (step < 0).mean()) if len(step) >= _STEPS else 0.0
    if share < _BY_ITEM:
        return None
    return f"log: time: {100 * share:.0f} % of users' events follow each other by item, not as they happened"


def _shuffled(log: InteractionLog) -> bool:
    """Whether the gaps between a user's events are those of times drawn from all: people come in sessions."""
    some = log.user % max(1, len(log) // _ROWS) == 0
    user, time = log.user[some], log.time[some]
    gaps = _gaps(user, time)
    if len(gaps) < _STEPS:
        return False
    drawn = _gaps(user, np.random.default_rng(0).permutation(time))
    parts = (0.25, 0.5, 0.75)
    expected = np.quantile(drawn, parts)
    return bool((np.abs(np.quantile(gaps, parts) - expected) <= _NEAR * expected).all() and expected[0] > 0)


def _gaps(user: NDArray[np.int32], time: NDArray[np.int64]) -> NDArray[np.int64]:
    order = np.lexsort((time, user))
    gaps: NDArray[np.int64] = np.diff(time[order])[np.diff(user[order]) == 0]
    return gaps
