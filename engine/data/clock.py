"""Times: the clock in them as context codes, and which of them can be believed."""

from __future__ import annotations

import time as system
from datetime import datetime, timezone

import numpy as np
from numpy.typing import NDArray

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
#: No log of interactions is older: 1 January 1990.
EARLIEST_MS = 631_152_000_000
#: Unit -> how many of it are a second. The plausible ranges of any two are disjoint, so a number has one unit or none.
UNITS = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000, "nanoseconds": 1_000_000_000}
#: Of the rows that fit any unit, the share that one must have to be the log's.
_PLAINLY = 0.9
#: A row apart is one of the first or last hundredth, behind a gap of more than this, and of ten times the largest
#: gap among the rows between.
_APART_MS = 2 * DAY_MS

#: No item was published before, as ms since the epoch: the year 1800.
OLDEST_MS = -5_364_662_400_000
#: Nor later than this from now.
_AHEAD_MS = 366 * DAY_MS

Times = NDArray[np.int64]
Bools = NDArray[np.bool_]


def clock(time: Times, utc_offset_hours: int = 0) -> dict[str, NDArray[np.int32]]:
    """{"hour": 0..23, "weekday": 0 (Monday) .. 6}, int32 [n] each, of times in ms since the epoch."""
    hours = (np.asarray(time, np.int64) // HOUR_MS + utc_offset_hours).astype(np.int32)
    day = hours // 24
    # the epoch was a Thursday; a remainder by multiplication is far faster than %
    from_monday = day + 3
    return {"hour": hours - 24 * day, "weekday": from_monday - from_monday // 7 * 7}


def plausible() -> tuple[int, int]:
    """The first and the last moment (ms since the epoch) of an interaction that can be: 1990, and a day from now."""
    return EARLIEST_MS, int(system.time() * 1000) + DAY_MS


def check_plausible(name: str, time: int) -> None:
    """Raises ValueError, naming the unit it looks like, unless `time` is a plausible moment in ms since the epoch."""
    if unit_of(np.array([time])) != "milliseconds":
        raise ValueError(f"{name}: {_expected()}, got {_looks(np.array([time]))}")


def unit_of(time: Times) -> str | None:
    """The one of `UNITS` that nine in ten have, of the times that are plausible in any; None where none has."""
    counts = {unit: int(fits.sum()) for unit, fits in _fits(time).items()}
    unit = max(counts, key=lambda name: counts[name])
    return unit if counts[unit] and counts[unit] >= _PLAINLY * sum(counts.values()) else None


def in_milliseconds(time: Times, unit: str) -> Times:
    """Times of a unit in ms, rounded down; those that do not fit int64 become its largest or smallest."""
    per_second = UNITS[unit]
    if per_second >= 1000:
        return time // (per_second // 1000)
    most = np.iinfo(np.int64).max // 1000
    return time.clip(-most, most) * 1000


def believed(time: Times, known: Bools) -> tuple[str, Times, dict[str, Bools]]:
    """The unit of a log, its times in ms, and reason -> the rows whose time cannot be believed.

    time: int64 [n] as recorded, of which those `known` count. The log is in the unit of `unit_of`. Reasons:
    `negative_time`, `time_in_<unit>` (plausible in another unit), `time_before_1990`, `time_in_future` (after tomorrow)
    and `time_apart`: of the first or last hundredth of the rows (one row of 20 to 199), where it lies more than 2 days,
    and ten times the largest gap between all others, off the rest.
    Raises ValueError, naming the unit it looks like, for a log that is in no unit or in several.
    """
    if not known.any():
        return "milliseconds", time, {}
    given = time[known]
    unit = unit_of(given)
    if unit is None:
        raise ValueError(f"time: {_expected()}, got {_looks(given)}")
    fits = {name: mask & known for name, mask in _fits(time).items()}
    own = fits.pop(unit)
    bad = {"negative_time": known & (time < 0)}
    bad |= {f"time_in_{name}": mask for name, mask in fits.items()}
    outside = known & ~np.logical_or.reduce([own, *bad.values()])
    time = in_milliseconds(time, unit)
    bad |= {"time_before_1990": outside & (time < EARLIEST_MS), "time_in_future": outside & (time >= EARLIEST_MS)}
    first, last = _together(time[own])
    return unit, time, {**bad, "time_apart": own & ((time < first) | (time > last))}


def published(time: Times, known: Bools) -> tuple[Times, str | None]:
    """Times of publication in ms, -1 unknown, and a sentence on what was done to them, if anything.

    time: int64 [n] as recorded, of which those `known` count. Where most are plausible in another unit, all are taken
    to be in it; those outside 1800 and a year from now are unknown. Raises ValueError where that is all of them.
    """
    words, unit = [], unit_of(time[known])
    if unit not in (None, "milliseconds"):
        moved = in_milliseconds(time, unit)
        if ((moved[known] >= EARLIEST_MS) & (moved[known] <= plausible()[1])).mean() > 0.5:
            words.append(f"in {unit}")
            time = moved
    good = known & (time >= OLDEST_MS) & (time <= plausible()[1] + _AHEAD_MS)
    if known.any() and not good.any():
        raise ValueError(f"{_expected()}, got {_looks(time[known])}")
    if outside := int((known & ~good).sum()):
        words.append(f"{outside} of {int(known.sum())} not between 1800 and a year from now are unknown")
    return np.where(good, time, -1), ", ".join(words) or None


def _fits(time: Times) -> dict[str, Bools]:
    """Unit -> bool [n]: which times are plausible in it."""
    first, last = plausible()
    # the floor of an edge, so that a moment is plausible in every unit or in none
    return {
        name: (time >= first * per_second // 1000) & (time <= last * per_second // 1000)
        for name, per_second in UNITS.items()
    }


def _together(time: Times) -> tuple[int, int]:
    """The first and the last time of the rows that are not apart from all others."""
    time = np.sort(time)
    some = max(len(time) // 100, int(len(time) >= 20))
    if not some:
        return int(time[0]), int(time[-1])
    gaps = np.diff(time)
    far = max(_APART_MS, 10 * int(gaps[some : len(gaps) - some].max(initial=0)))
    early = np.flatnonzero(gaps[:some] > far)
    late = np.flatnonzero(gaps[len(gaps) - some :] > far) + len(gaps) - some
    return int(time[early[-1] + 1 if len(early) else 0]), int(time[late[0] if len(late) else -1])


def _expected() -> str:
    first, last = (datetime.fromtimestamp(ms // 1000, timezone.utc).date() for ms in plausible())
    return f"expected milliseconds since the epoch, {first} to {last}"


def _looks(time: Times) -> str:
    found = {unit: int(fits.sum()) for unit, fits in _fits(time).items()}
    units = [f"{count} like {unit}" for unit, count in found.items() if count]
    like = f": {', '.join(units)}" if units else ", which is like no unit from seconds to nanoseconds"
    span = f"{time.min()}" if time.min() == time.max() else f"{time.min()} to {time.max()}"
    return f"{span}{like}"
