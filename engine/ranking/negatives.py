"""Items that were never shown, as samples: without them a ranker only knows what the old system chose."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from headrace.data.dataset import UNKNOWN, InteractionLog
from headrace.data.signals import IMPRESSION


@dataclass(frozen=True)
class Unshown:
    """How many unshown items are drawn for each row of a log; 0: none.

    Each draw repeats the user, time and context of a row taken at random, with an item taken uniformly from the
    catalogue: not shown, and nothing else recorded. The sample selection bias of ranking is that of Ma et al., "Entire
    Space Multi-Task Model", SIGIR 2018; drawing from the whole catalogue makes "shown" a target of its own.
    """

    share: float
    items: int
    seed: int = 0

    def draw(self, rows: NDArray[np.int64], epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """int64 [m] each: of which of `rows` (int64 [n], positions in the log) each draw is, ascending, and its item;
        the same for the same epoch."""
        rng = np.random.default_rng([self.seed, 1 + epoch])
        count = int(self.share * len(rows))
        return np.sort(rows[rng.integers(0, len(rows), count)]), rng.integers(0, self.items, count)


def as_shown(log: InteractionLog) -> InteractionLog:
    """The log with impression 1 where it is not recorded."""
    shown = log.signals.get(IMPRESSION)
    known = np.ones(len(log), np.int8) if shown is None else np.where(shown == UNKNOWN, 1, shown).astype(np.int8)
    return replace(log, signals={IMPRESSION: known, **{n: c for n, c in log.signals.items() if n != IMPRESSION}})
