"""Categorical columns: text or integers outside, int32 codes inside."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.data.dataset import UNKNOWN, Jagged


def plain(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The column as one array, dictionaries and views spelt out: strings of any kind are `string`."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    text = pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type)
    return array.cast(pa.string()) if text else array


def checked_text(array: pa.Array, name: str) -> pa.Array:
    """The strings. Raises ValueError naming the first row that is not UTF-8."""
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        for row, value in enumerate(array.cast(pa.binary()).to_pylist()):
            try:
                (value or b"").decode()
            except UnicodeDecodeError:
                raise ValueError(f"{name}: expected text in UTF-8, got {value[:40]!r} in row {row}") from None
        raise
    return array


def encode(column: pa.Array | pa.ChunkedArray, name: str) -> tuple[NDArray[np.int32], list[str]]:
    """Codes of a column of strings, integers or booleans, and the text of each code.

    Returns (int32 [n], texts). Codes ascend with the value: by number where all values are integers, by code point
    otherwise. Null becomes -1. Raises ValueError for a column of another type.
    """
    array = plain(column)
    kind = array.type
    if pa.types.is_boolean(kind) or pa.types.is_null(kind):
        array = array.cast(pa.int8())
    elif not (pa.types.is_integer(kind) or pa.types.is_string(kind)):
        raise ValueError(f"{name}: expected strings or integers, got {kind}")
    if pa.types.is_string(kind):
        checked_text(array, name)
    values = _as_integers(pc.unique(array).drop_null())
    values = values.take(pc.sort_indices(values))
    codes = pc.index_in(array, value_set=values.cast(array.type)).fill_null(UNKNOWN)
    return codes.to_numpy(zero_copy_only=False).astype(np.int32), values.cast(pa.string()).to_pylist()


def decode(codes: NDArray[np.int32], texts: list[str] | None) -> pa.Array:
    """The column behind the codes: strings, or integers where every text is one. Without texts, the codes."""
    index = pa.array(codes, pa.int32(), mask=codes < 0)
    return index if texts is None else _as_integers(pa.array(texts, pa.string())).take(index)


def encode_lists(column: pa.Array | pa.ChunkedArray, name: str) -> tuple[Jagged, list[str]]:
    """As `encode`, for a column of lists (null is an empty list) or of single values (null is none)."""
    array = plain(column)
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        counts = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False)
        values = pc.list_flatten(array)
        if values.null_count:
            raise ValueError(f"{name}: expected no nulls inside the lists, got {values.null_count}")
    else:
        counts = array.is_valid().to_numpy(zero_copy_only=False)
        values = array.drop_null()
    codes, texts = encode(values, name)
    return Jagged(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), codes), texts


def decode_lists(lists: Jagged, texts: list[str] | None) -> pa.Array:
    """The column of lists behind the codes."""
    return pa.LargeListArray.from_arrays(pa.array(lists.offsets), decode(lists.values, texts))


def _as_integers(values: pa.Array) -> pa.Array:
    """Integers where every value is one in its usual spelling ("7", not "07"); the values as they are otherwise."""
    if pa.types.is_integer(values.type):
        return values
    try:
        numbers = values.cast(pa.int64())
    except pa.ArrowInvalid:
        return values
    same = pc.all(pc.equal(numbers.cast(pa.string()), values.cast(pa.string()))).as_py()
    return numbers if same and len(values) else values
