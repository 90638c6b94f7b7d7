"""What callers hand to `Engine.recommend`, checked."""

from __future__ import annotations

import operator
from datetime import datetime, timezone

#: A request lies within so many years of the moment that its snapshot describes.
_YEARS = 10
_RANGE_MS = _YEARS * 366 * 86_400_000
#: Unit -> how many milliseconds it has.
_UNITS = {"seconds": 1e3, "microseconds": 1e-3, "nanoseconds": 1e-6, "days": 86_400_000}


def request_time(at: int, as_of: int) -> int:
    """`at`, a plausible request time in ms since the epoch for a snapshot of `as_of`.

    Raises TypeError for what is no integer, ValueError for another time, naming the unit that it looks like.
    """
    try:
        found = operator.index(at)
    except TypeError as error:
        raise TypeError(f"at: expected an integer, milliseconds since the epoch, got {at!r}") from error
    if abs(found - as_of) <= _RANGE_MS:
        return found
    likely = next((unit for unit, ms in _UNITS.items() if abs(found * ms - as_of) <= _RANGE_MS), None)
    looks = f", which looks like {likely}" if likely else ""
    day = datetime.fromtimestamp(as_of / 1000, timezone.utc).date()
    raise ValueError(
        f"at: expected milliseconds since the epoch within {_YEARS} years of the snapshot's {day}, got {found}{looks}"
    )
