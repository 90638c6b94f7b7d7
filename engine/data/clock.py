"""Hour of the day and day of the week, as context codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def clock(time: NDArray[np.int64], utc_offset_hours: int = 0) -> dict[str, NDArray[np.int32]]:
    """{"hour": 0..23, "weekday": 0 (Monday) .. 6}, int32 [n] each, of times in ms since the epoch."""
    hours = (np.asarray(time, np.int64) // HOUR_MS + utc_offset_hours).astype(np.int32)
    day = hours // 24
    # the epoch was a Thursday; a remainder by multiplication is far faster than %
    from_monday = day + 3
    return {"hour": hours - 24 * day, "weekday": from_monday - from_monday // 7 * 7}
