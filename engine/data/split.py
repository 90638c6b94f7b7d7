"""Splits by time: a model may only ever learn from what came before what it is tested on."""

from __future__ import annotations

import numpy as np

from headrace.data.clock import DAY_MS
from headrace.data.dataset import InteractionLog


def days(log: InteractionLog) -> float:
    """Days between the first and the last interaction; 0 for an empty log."""
    return float(log.time[-1] - log.time[0]) / DAY_MS if len(log) else 0.0


def split_at(log: InteractionLog, cut: int) -> tuple[InteractionLog, InteractionLog]:
    """(train, test): the interactions strictly before `cut` (ms since the epoch), and those from it on.

    Raises ValueError when either side is empty.
    """
    if not len(log):
        raise ValueError("log: expected at least 2 interactions to split, got 0")
    place = int(np.searchsorted(log.time, cut))
    if place in (0, len(log)):
        side = "train" if place == 0 else "test"
        raise ValueError(f"cut: the {side} side is empty; the log runs from {log.time[0]} to {log.time[-1]}, got {cut}")
    return log.take(slice(0, place)), log.take(slice(place, len(log)))


def split_by_time(log: InteractionLog, test_days: float = 1.0) -> tuple[InteractionLog, InteractionLog]:
    """(train, test): the test side is the last `test_days` of the log, from (last time - test_days) on.

    Raises ValueError when test_days is not positive or either side is empty.
    """
    if not 0 < test_days < float("inf"):
        raise ValueError(f"test_days: expected a positive number of days, got {test_days}")
    if not len(log):
        raise ValueError("log: expected at least 2 interactions to split, got 0")
    held = round(test_days * DAY_MS)
    if log.time[-1] - log.time[0] <= held:
        raise ValueError(f"test_days: expected less than the {days(log):.3f} days of the log, got {test_days}")
    return split_at(log, int(log.time[-1]) - held)
