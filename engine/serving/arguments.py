"""What callers hand to `Engine.recommend`, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np
import torch

from headrace.data.ids import IdMap
from headrace.exposure import Stock
from headrace.exposure.kinds import KINDS
from headrace.jagged import offsets_of
from headrace.serving.checks import integer, listed_of, number, shown
from headrace.types import Blocked

#: A request lies within so many years of the moment that its snapshot describes.
_YEARS = 10
#: Items of a page: as many rows as a catalogue can have.
_MOST = 2**31 - 1
_RANGE_MS = _YEARS * 366 * 86_400_000
#: Unit -> how many milliseconds it has.
_UNITS = {"seconds": 1e3, "microseconds": 1e-3, "nanoseconds": 1e-6, "days": 86_400_000}


def request_time(at: int, as_of: int) -> int:
    """`at`, a plausible request time in ms since the epoch for a snapshot of `as_of`.

    Raises TypeError for what is no integer, ValueError for another time, naming the unit that it looks like.
    """
    found = integer("at", at, "an integer, milliseconds since the epoch")
    if abs(found - as_of) <= _RANGE_MS:
        return found
    units = _UNITS.items() if found.bit_length() < 64 else ()
    likely = next((unit for unit, ms in units if abs(found * ms - as_of) <= _RANGE_MS), None)
    got = number(found) + (f", which looks like {likely}" if likely else "")
    day = datetime.fromtimestamp(as_of / 1000, timezone.utc).date()
    raise ValueError(
        f"at: expected milliseconds since the epoch within {_YEARS} years of the snapshot's {day}, got {got}"
    )


def page_size(k: int) -> int:
    """`k`, as a page's size. Raises TypeError for what is no integer, ValueError below 1 or from 2^31 on."""
    found = integer("k", k)
    if not 1 <= found <= _MOST:
        raise ValueError(f"k: expected at {'least 1' if found < 1 else f'most {_MOST}'}, got {number(found)}")
    return found


def blocked_of(blocked: Sequence[Mapping[str, Sequence[Any]]], count: int, items: IdMap, stock: Stock) -> Blocked:
    """What each of `count` requests blocks, in rows and codes; what nothing is called is left out.

    Raises ValueError for another number of mappings or an unknown kind, TypeError for ids of the wrong kind.
    """
    if isinstance(blocked, Mapping):
        raise TypeError(f"blocked: expected {count} mappings, one a user, got one mapping")
    given = listed_of("blocked", blocked, "mappings")
    if len(given) != count:
        raise ValueError(f"blocked: expected {count} mappings, one a user, got {len(given)}")
    known = ("item", *stock.kinds)
    lists: dict[str, list[list[int]]] = {}
    for b, one in enumerate(given):
        if not isinstance(one, Mapping):
            raise TypeError(f"blocked[{b}]: expected a mapping of kinds to ids, got {shown(one)}")
        for kind, ids in one.items():
            if kind not in ("item", *KINDS):
                raise ValueError(f"blocked[{b}]: expected one of item, {', '.join(KINDS)}, got {shown(kind)}")
            if kind not in known:
                raise ValueError(f"blocked[{b}]: {kind}: expected one of {', '.join(known)}, which this snapshot has")
            asked = listed_of(f"blocked[{b}]: {kind}", ids, "ids")
            try:
                rows = items.rows(asked) if kind == "item" else stock.kinds[kind].codes(asked)
            except (TypeError, ValueError) as error:
                raise type(error)(f"blocked[{b}]: {kind}: {error}") from error
            lists.setdefault(kind, [[] for _ in range(count)])[b] = rows[rows >= 0].tolist()
    return {
        kind: (
            offsets_of(torch.tensor([len(one) for one in each])),
            torch.tensor([code for one in each for code in one], dtype=torch.int64),
        )
        for kind, each in lists.items()
    }


def shown_items(items: Sequence[int | str], shown: Sequence[int] | Sequence[str]) -> list[int | str]:
    """The items of a page that were seen, which `shown` names by id or, where no id could be meant, by position.

    Raises ValueError for what is neither.
    """
    told = np.asarray(shown).tolist()
    here = set(items)
    if here.issuperset(told):
        return told  # type: ignore[no-any-return]
    either = any(isinstance(item, int) and 0 <= item < len(items) for item in items)
    if either or not all(isinstance(one, int) and 0 <= one < len(items) for one in told):
        wrong = next(one for one in told if one not in here)
        expected = "ids of its items" if either else f"ids of its items or positions 0 to {len(items) - 1}"
        raise ValueError(f"shown: expected {expected}, got {wrong!r}")
    return [items[place] for place in told]
