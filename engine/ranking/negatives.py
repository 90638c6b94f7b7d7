"""Items that were never shown, as samples: without them a ranker only knows what the old system chose."""

from __future__ import annotations

import numpy as np

from headrace.data.dataset import UNKNOWN, InteractionLog
from headrace.data.signals import IMPRESSION


def with_unshown(log: InteractionLog, items: int, share: float, seed: int) -> InteractionLog:
    """The log with `share` rows of unshown items for each of its own, in time order.

    Each new row repeats the user, time and context of a row drawn at random, with an item drawn uniformly from the
    catalogue: impression 0, and nothing else recorded. The rows of the log get impression 1 where it is not recorded.
    share 0 gives the log itself. The sample selection bias of ranking is that of Ma et al., "Entire Space Multi-Task
    Model", SIGIR 2018; drawing from the whole catalogue makes "shown" a target of its own.
    """
    if share == 0 or len(log) == 0:
        return log
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.integers(0, len(log), int(share * len(log))))
    source = np.concatenate([np.arange(len(log)), drawn])
    order = np.argsort(source, kind="stable")
    fresh = (np.arange(len(source)) >= len(log))[order]
    rows = log.take(source[order])
    item = rows.item.copy()
    item[fresh] = rng.integers(0, items, int(fresh.sum()))
    signals = {name: np.where(fresh, UNKNOWN, column).astype(np.int8) for name, column in rows.signals.items()}
    shown = signals.get(IMPRESSION, np.ones(len(rows), np.int8))
    signals[IMPRESSION] = np.where(fresh, 0, np.where(shown == UNKNOWN, 1, shown)).astype(np.int8)

    def blank(column: np.ndarray | None) -> np.ndarray | None:
        return None if column is None else np.where(fresh, UNKNOWN, column).astype(column.dtype)

    return InteractionLog(
        rows.user, item, rows.time, signals, blank(rows.play_time_ms), blank(rows.duration_ms), rows.context
    )
