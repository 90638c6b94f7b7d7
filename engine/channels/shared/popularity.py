"""How popular each item is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.channels.shared.history import clicks, events
from headrace.channels.shared.rounding import rounded
from headrace.data import InteractionLog

_DAY_MS = 86_400_000


def popularity(logs: Sequence[InteractionLog], items: int, half_life_days: float) -> NDArray[np.float64]:
    """float64 [N]: the clicks of each item, one of age t counting 2^(-t / half-life); age runs back from the last row.

    A log without clicks counts its rows with any interest. Raises ValueError when half_life_days isn't above 0 (it may
    be inf: plain counts) or an item row lies outside the table.
    """
    if not half_life_days > 0:
        raise ValueError(f"half_life_days: expected more than 0, got {half_life_days}")
    rows = events(logs, clicks, items=items)
    now = max((int(log.time[-1]) for log in logs if len(log)), default=0)
    weight = np.exp2((rows.time - now) / (half_life_days * _DAY_MS))
    return np.bincount(rows.item, weight, minlength=items).astype(np.float64, copy=False)


def by_score(score: NDArray[np.float64]) -> NDArray[np.int64]:
    """int64 [N]: the items by falling score, ties to the lower item."""
    return np.argsort(-rounded(score), kind="stable")
