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


def compact(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """As `plain`, but text is a dictionary of its words, each once: a long one that many rows share is held once."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        words = plain(array.dictionary)
        if pa.types.is_string(words.type):
            once = words.dictionary_encode()
            return pa.DictionaryArray.from_arrays(once.indices.take(array.indices), once.dictionary)
        # Bytes and the like mean nothing here, and are refused as they are.
        return plain(array) if pa.types.is_primitive(words.type) or pa.types.is_null(words.type) else array
    array = plain(array)
    return array.dictionary_encode() if pa.types.is_string(array.type) else array


def is_text(array: pa.Array) -> bool:
    """Whether an array of `compact` is of text."""
    return bool(pa.types.is_dictionary(array.type) and pa.types.is_string(array.type.value_type))


def kind_of(array: pa.Array) -> str:
    """What people call the type of an array of `compact`."""
    return str(array.type.value_type if pa.types.is_dictionary(array.type) else array.type)


def checked_text(array: pa.Array, name: str) -> pa.Array:
    """The text of `compact`. Raises ValueError naming the first row that is not UTF-8."""
    try:
        array.dictionary.validate(full=True)
    except pa.ArrowInvalid:
        bad = np.array([not _is_utf8(word) for word in array.dictionary.cast(pa.binary()).to_pylist()])
        if (rows := np.flatnonzero(by_word(array, bad))).size:
            word = array.dictionary.cast(pa.binary())[array.indices[int(rows[0])].as_py()].as_py()
            raise ValueError(f"{name}: expected text in UTF-8, got {word[:40]!r} in row {rows[0]}") from None
    return array


def by_word(array: pa.Array, flags: NDArray[np.bool_] | pa.Array) -> NDArray[np.bool_]:
    """bool [n]: the flag of each row's word, False for null."""
    found = pa.array(flags).take(array.indices).fill_null(False)
    return np.asarray(found.to_numpy(zero_copy_only=False))


def _is_utf8(word: bytes | None) -> bool:
    try:
        (word or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def encode(column: pa.Array | pa.ChunkedArray, name: str) -> tuple[NDArray[np.int32], list[str]]:
    """Codes of a column of strings, integers or booleans, and the text of each code.

    Returns (int32 [n], texts). Codes ascend with the value: by number where all values are integers, by code point
    otherwise. Null becomes -1. Raises ValueError for a column of another type.
    """
    array = compact(column)
    kind = array.type
    if pa.types.is_boolean(kind) or pa.types.is_null(kind):
        array = array.cast(pa.int8())
    elif not (pa.types.is_integer(kind) or is_text(array)):
        raise ValueError(f"{name}: expected strings or integers, got {kind_of(array)}")
    values = _as_integers(distinct(checked_text(array, name) if is_text(array) else array))
    values = values.take(pc.sort_indices(values))
    codes = places_in(array, values).fill_null(UNKNOWN)
    return codes.to_numpy(zero_copy_only=False).astype(np.int32), values.cast(pa.string()).to_pylist()


def distinct(array: pa.Array) -> pa.Array:
    """The values, or the words, that occur in an array of `compact`, without null."""
    if is_text(array):
        return array.dictionary.take(pc.unique(array.indices).drop_null())
    return pc.unique(array).drop_null()


def places_in(array: pa.Array, values: pa.Array) -> pa.Array:
    """int32 [n]: where in `values` each value or word of an array of `compact` is, null where nowhere."""
    if is_text(array):
        return pc.index_in(array.dictionary, value_set=values.cast(pa.string())).take(array.indices)
    return pc.index_in(array, value_set=values.cast(array.type), skip_nulls=True)


def decode(codes: NDArray[np.int32], texts: list[str] | None) -> pa.Array:
    """The column behind the codes: strings, or integers where every text is one. Without texts, the codes."""
    index = pa.array(codes, pa.int32(), mask=codes < 0)
    return index if texts is None else _as_integers(pa.array(texts, pa.string())).take(index)


def encode_lists(column: pa.Array | pa.ChunkedArray, name: str) -> tuple[Jagged, list[str]]:
    """As `encode`, for a column of lists (null is an empty list) or of single values (null is none)."""
    array = compact(column)
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
