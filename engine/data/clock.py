"""Hour of the day and day of the week, as context codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def clock(time: NDArray[np.int64], utc_offset_hours: int = 0) -> dict[str, NDArray[np.int32]]:
    """{"hour": 0..23, "weekday": 0 (Monday) .. 6}, int32 [n] each, of times in ms since the epoch."""
    local = np.asarray(time, np.int64) + utc_offset_hours * HOUR_MS
    # the epoch was a Thursday
    weekday = (local // DAY_MS + 3) % 7
    return {"hour": (local // HOUR_MS % 24).astype(np.int32), "weekday": weekday.astype(np.int32)}
