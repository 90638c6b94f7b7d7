"""Columns of a log, one by one: each checked, a wrong value named by its row (from 0)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.data.codes import by_word, checked_text, compact, distinct, encode, is_text, kind_of, places_in
from headrace.data.dataset import UNKNOWN
from headrace.data.ids import LONGEST_ID, IdMap

Bools = NDArray[np.bool_]


def id_column(column: pa.Array | pa.ChunkedArray, name: str) -> pa.Array:
    """Ids as int64 or text (see `compact`), nulls kept. Raises ValueError naming the column for any other type."""
    array = compact(column)
    if pa.types.is_integer(array.type) or pa.types.is_null(array.type):
        return whole(array, pa.int64(), name)
    if not is_text(array):
        raise ValueError(f"{name}: expected int64 or string ids, got {kind_of(array)}")
    text = checked_text(array, name)
    # NumPy's fixed-width strings lose trailing NULs, so two such ids could become one
    nul = by_word(text, pc.match_substring(text.dictionary, "\0"))
    _refuse(nul, text, f"{name}: expected strings without NUL characters")
    return text


def ids_of(ids: pa.Array) -> IdMap:
    """The map of the ids that occur."""
    return IdMap(distinct(ids).to_numpy(zero_copy_only=False))


def rows_of(ids: pa.Array, known: IdMap, name: str) -> NDArray[np.int64]:
    """int64 [n]: the row of each id, -1 where it is null or unknown."""
    if len(known) == 0 or ids.null_count == len(ids):
        return np.full(len(ids), UNKNOWN, np.int64)
    values = pa.array(known.ids)
    if str(values.type) != kind_of(ids):
        raise ValueError(f"{name}: expected {values.type} ids as in its table, got {kind_of(ids)}")
    return ints(places_in(ids, values)).astype(np.int64)


def by_id(table: pa.Table, key: str) -> tuple[IdMap, pa.Table]:
    """The id map of the column `key`, and the table in the order of its rows.

    Raises ValueError for a null, too long or repeated id, or text that is not UTF-8.
    """
    if key not in table.column_names:
        raise ValueError(f"required column {key} is missing, got {', '.join(table.column_names) or 'none'}")
    column = id_column(table[key], key)
    if column.null_count:
        row = int(column.is_null().to_numpy(zero_copy_only=False).argmax())
        raise ValueError(f"{key}: expected no nulls, got {column.null_count}, the first in row {row}")
    if (long := too_long(column)).any():
        raise ValueError(f"{key}: expected at most {LONGEST_ID} characters, got more in row {int(long.argmax())}")
    ids = ids_of(column)
    rows = rows_of(column, ids, key)
    order = np.argsort(rows, kind="stable")
    if repeats := len(rows) - len(ids):
        first = ids.ids[rows[order][1:][np.diff(rows[order]) == 0][0]].item()
        raise ValueError(f"{key}: ids: expected no repeats, got {repeats} repeated ids, the first {first!r}")
    compacted = {name: compact(table[name]) for name in table.column_names}
    for name, array in compacted.items():  # here, where a row is still the file's
        if is_text(array):
            checked_text(array, name)
    return ids, pa.table(compacted).take(pa.array(order))


def too_long(ids: pa.Array) -> Bools:
    """bool [n]: which ids have more characters than an id may have."""
    if not is_text(ids):
        return np.zeros(len(ids), np.bool_)
    return by_word(ids, pc.greater(pc.utf8_length(ids.dictionary), LONGEST_ID))


def time_column(column: pa.ChunkedArray) -> pa.Array:
    """int64 as recorded; ms of a timestamp."""
    array = compact(column)
    if pa.types.is_timestamp(array.type):
        return array.cast(pa.timestamp("ms", array.type.tz), safe=False).cast(pa.int64())
    if not (pa.types.is_integer(array.type) or pa.types.is_null(array.type)):
        raise ValueError(f"time: expected integers since the epoch or a timestamp, got {kind_of(array)}")
    return whole(array, pa.int64(), "time")


def signal_column(column: pa.ChunkedArray, name: str) -> pa.Array:
    """int8: 0, 1 and null."""
    array = compact(column)
    if pa.types.is_boolean(array.type) or pa.types.is_null(array.type):
        return array.cast(pa.int8())
    if not pa.types.is_integer(array.type):
        raise ValueError(f"{name}: expected 0, 1 or null as integers or booleans, got {kind_of(array)}")
    _refuse(
        pc.invert(pc.is_in(array, value_set=pa.array([0, 1, None], array.type))),
        array,
        f"{name}: expected 0, 1 or null",
    )
    return array.cast(pa.int8())


def span_column(column: pa.ChunkedArray, name: str) -> pa.Array:
    """int32 milliseconds."""
    array = compact(column)
    if not (pa.types.is_integer(array.type) or pa.types.is_null(array.type)):
        raise ValueError(f"{name}: expected integer milliseconds, got {kind_of(array)}")
    return whole(array, pa.int32(), name)


def context_column(column: pa.ChunkedArray, name: str, rows: pa.Array) -> tuple[NDArray[np.int32], list[str] | None]:
    """The codes of `rows`, -1 unknown, and their words where they stand for some."""
    array = compact(column)
    if pa.types.is_null(array.type):
        array = array.cast(pa.int32())
    if pa.types.is_integer(array.type):
        _refuse(pc.less(array, pa.scalar(0, array.type)), array, f"{name}: expected codes of at least 0 or null")
        return ints(whole(array, pa.int32(), name).take(rows)).astype(np.int32), None
    return encode(array.take(rows), name)


def whole(array: pa.Array, kind: pa.DataType, name: str) -> pa.Array:
    """Integers (or nulls) as `kind`. Raises ValueError naming the first that does not fit."""
    if pa.types.is_integer(array.type):
        own, wanted = (np.iinfo(t.to_pandas_dtype()) for t in (array.type, kind))
        for edge, outside in ((wanted.max, pc.greater), (wanted.min, pc.less)):
            if own.min <= edge <= own.max:
                wrong = outside(array, pa.scalar(edge, array.type))
                _refuse(wrong, array, f"{name}: expected values that fit {kind}")
    return array.cast(kind)


def bools(array: pa.Array) -> Bools:
    """False where null."""
    return np.asarray(array.fill_null(False).to_numpy(zero_copy_only=False))


def ints(array: pa.Array) -> NDArray[np.int64]:
    """-1 where null."""
    return np.asarray(array.fill_null(UNKNOWN).to_numpy(zero_copy_only=False))


def _refuse(wrong: pa.Array | Bools, array: pa.Array, expected: str) -> None:
    mask = wrong if isinstance(wrong, np.ndarray) else bools(wrong)
    if mask.any():
        row = int(mask.argmax())
        raise ValueError(f"{expected}, got {array[row].as_py()!r:.60} in row {row}")
