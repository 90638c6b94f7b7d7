"""From a table in external ids to a log in dense rows, with every dropped row counted by its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.data.clock import believed
from headrace.data.codes import plain
from headrace.data.columns import (
    Bools,
    bools,
    context_column,
    id_column,
    ints,
    signal_column,
    span_column,
    time_column,
    too_long,
)
from headrace.data.dataset import UNKNOWN, InteractionLog, RowReport
from headrace.data.ids import IdMap
from headrace.data.signals import SIGNALS

CONTEXT = "context_"
_TIMES = ("play_time_ms", "duration_ms")


@dataclass(frozen=True)
class Cleaned:
    """A clean log, the id maps of its rows, the texts of its context codes, and what was dropped."""

    log: InteractionLog
    users: IdMap
    items: IdMap
    context_names: dict[str, list[str]]
    rows: RowReport


def clean(
    table: pa.Table,
    *,
    items: IdMap | None = None,
    users: IdMap | None = None,
    on_bad: Literal["drop", "refuse"] = "drop",
    compare: pa.Table | None = None,
    apart: bool = True,
) -> Cleaned:
    """Check a table of interactions and turn it into dense rows, in time order (ties keep the table's order).

    table: columns user, item (int64 or string ids) and time (int64 since the epoch, in one unit from seconds to
        nanoseconds that `believed` tells by its size, or an Arrow timestamp);
        any of SIGNALS (integer or boolean, null where not recorded), play_time_ms, duration_ms (integer) and
        context_<name> (non-negative integers kept as they are, or strings turned into codes). No other column.
    items, users: the ids that exist. None: those of the kept rows.
    apart: whether rows whose time lies apart from all others are dropped.
    compare: the source's full rows, in the same order, where `table` holds only some of their columns.

    A bad row is dropped for the first of these reasons: `null_id` (user or item), `long_id` (of more than 256
    characters), `null_time`, those of `believed`
    (`negative_time`, `time_in_<unit>`, `time_before_1990`, `time_in_future`, `time_apart`), `unknown_item` and
    `unknown_user` (only where `items` or `users` is given), `negative_play_time`, `negative_duration`, `duplicate` (an
    earlier row is equal in every column, of `compare` where given) and `repeated_event` (an earlier row is equal in
    every column of `table`, though not of `compare`).
    With on_bad="refuse" any such row is a ValueError that lists the counts.

    Raises ValueError for a missing, unknown or wrongly typed column, for a signal other than 0, 1 and null, and for
    times that fit no unit, several, or not the type of their column.
    """
    if on_bad not in ("drop", "refuse"):
        raise ValueError(f"on_bad: expected 'drop' or 'refuse', got {on_bad!r}")
    _check_names(table)
    if compare is not None and compare.num_rows != table.num_rows:
        raise ValueError(f"compare: expected {table.num_rows} rows, got {compare.num_rows}")
    user, item = id_column(table["user"], "user"), id_column(table["item"], "item")
    given = time_column(table["time"])
    unit, stamp, unbelieved = believed(ints(given), bools(given.is_valid()))
    if not apart:
        unbelieved.pop("time_apart", None)
    if unit != "milliseconds" and pa.types.is_timestamp(table.schema.field("time").type):
        raise ValueError(f"time: expected plausible moments, got {table.schema.field('time').type} that are {unit}")
    time = pa.array(stamp)
    signals = {name: signal_column(table[name], name) for name in SIGNALS if name in table.column_names}
    spans = {name: span_column(table[name], name) for name in _TIMES if name in table.column_names}

    bad: dict[str, Bools] = {
        "null_id": bools(pc.or_(user.is_null(), item.is_null())),
        "long_id": too_long(user) | too_long(item),
        "null_time": bools(given.is_null()),
        **unbelieved,
    }
    if items is not None:
        bad["unknown_item"] = rows_of(item, items, "item") < 0
    if users is not None:
        bad["unknown_user"] = rows_of(user, users, "user") < 0
    bad |= {f"negative_{name.removesuffix('_ms')}": bools(pc.less(span, 0)) for name, span in spans.items()}
    keep, dropped = _apply(bad, table.num_rows)

    kept = np.flatnonzero(keep)
    sources = {"duplicate": table} if compare is None else {"duplicate": compare, "repeated_event": table}
    for reason, source in sources.items():
        copies = _later_copies(user, item, time, kept, source)
        if len(copies):
            dropped[reason] = len(copies)
            kept = np.setdiff1d(kept, copies, assume_unique=True)
    if dropped and on_bad == "refuse":
        counts = ", ".join(f"{reason} {count}" for reason, count in dropped.items())
        raise ValueError(f"{sum(dropped.values())} of {table.num_rows} rows are bad: {counts}")

    late = int((stamp[kept] < np.maximum.accumulate(stamp[kept])).sum())
    kept = kept[np.argsort(stamp[kept], kind="stable")]
    index = pa.array(kept)
    user, item = user.take(index), item.take(index)
    users = ids_of(user) if users is None else users
    items = ids_of(item) if items is None else items
    context, names = _contexts(table, index)
    log = InteractionLog(
        rows_of(user, users, "user").astype(np.int32),
        rows_of(item, items, "item").astype(np.int32),
        stamp[kept],
        {name: ints(column.take(index)).astype(np.int8) for name, column in signals.items()},
        context=context,
        **{name: ints(span.take(index)).astype(np.int32) for name, span in spans.items()},
    )
    return Cleaned(log, users, items, names, RowReport(table.num_rows, len(log), dropped, unit, late))


def ids_of(ids: pa.Array) -> IdMap:
    """The map of the ids that occur."""
    return IdMap(pc.unique(ids).drop_null().to_numpy(zero_copy_only=False))


def rows_of(ids: pa.Array, known: IdMap, name: str) -> NDArray[np.int64]:
    """int64 [n]: the row of each id, -1 where it is null or unknown."""
    if len(known) == 0 or ids.null_count == len(ids):
        return np.full(len(ids), UNKNOWN, np.int64)
    values = pa.array(known.ids)
    if values.type != ids.type:
        raise ValueError(f"{name}: expected {values.type} ids as in its table, got {ids.type}")
    return ints(pc.index_in(ids, value_set=values)).astype(np.int64)


def _check_names(table: pa.Table) -> None:
    if len(set(table.column_names)) < len(table.column_names):
        raise ValueError(f"expected each column once, got {', '.join(table.column_names)}")
    for name in ("user", "item", "time"):
        if name not in table.column_names:
            raise ValueError(f"{name}: required column is missing, got {', '.join(table.column_names) or 'none'}")
    # a misspelt signal must not vanish in silence
    for name in table.column_names:
        if name not in ("user", "item", "time", *SIGNALS, *_TIMES) and not name.startswith(CONTEXT):
            known = ", ".join(("user", "item", "time", *SIGNALS, *_TIMES, CONTEXT + "*"))
            raise ValueError(f"{name}: unknown column, expected {known}")
        if pa.types.is_nested(table.schema.field(name).type):
            raise ValueError(f"{name}: expected single values, got {table.schema.field(name).type}")


def _contexts(table: pa.Table, rows: pa.Array) -> tuple[dict[str, NDArray[np.int32]], dict[str, list[str]]]:
    codes, names = {}, {}
    for column in table.column_names:
        if column.startswith(CONTEXT):
            name = column.removeprefix(CONTEXT)
            codes[name], words = context_column(table[column], column, rows)
            if words is not None:
                names[name] = words
    return codes, names


def _apply(bad: dict[str, Bools], count: int) -> tuple[Bools, dict[str, int]]:
    keep, dropped = np.ones(count, bool), {}
    for reason, wrong in bad.items():
        if hits := int((wrong & keep).sum()):
            dropped[reason] = hits
        keep &= ~wrong
    return keep, dropped


def _later_copies(
    user: pa.Array, item: pa.Array, time: pa.Array, kept: NDArray[np.int64], rows: pa.Table
) -> NDArray[np.int64]:
    """Positions (of `kept`) whose row of `rows` is equal to an earlier kept one."""
    if len(kept) < 2:
        return kept[:0]
    index = pa.array(kept)
    keys = [ints(column.take(index).dictionary_encode().indices) for column in (user, item)]
    keys.append(ints(time.take(index)))
    order = np.lexsort(keys)
    same = np.logical_and.reduce([np.diff(key[order]) == 0 for key in keys])
    # only rows that share user, item and time with another need a look at the other columns
    near: NDArray[np.int64] = kept[np.sort(order[np.append(same, False) | np.insert(same, 0, False)])]
    if not len(near):
        return near
    columns = [plain(column).take(pa.array(near)).dictionary_encode() for column in rows.columns]
    values = np.stack([ints(column.indices) for column in columns], 1)
    first = np.unique(values, axis=0, return_index=True)[1]
    return np.asarray(np.delete(near, first))
