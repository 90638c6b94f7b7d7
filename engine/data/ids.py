"""External ids (int64 or string) and dense rows: they meet here and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

#: Characters of an id. An `IdMap` holds its strings at one width, so a single long one would cost as much for all.
LONGEST_ID = 256
#: What int() takes besides, as 1_000, blanks and other scripts' digits, is a mistake in an id.
_WHOLE = re.compile(r"-?[0-9]{1,20}")


class IdMap:
    """A two-way map between external ids and rows 0..n-1, rows in ascending order of id.

    ids: int64 [n] or str [n] array without repeats, in any order. Strings are ordered by code point.
    Raises ValueError when an id repeats or does not fit (int64, or 256 characters), TypeError when ids are neither
    integers nor strings, or both.
    """

    def __init__(self, ids: NDArray[np.int64] | NDArray[np.str_] | Sequence[int] | Sequence[str]) -> None:
        array = _as_ids(ids).copy()
        array.sort()
        self.ids = array
        again = self.ids[1:] == self.ids[:-1]
        if repeats := int(again.sum()):
            first = self.ids[1:][again][0]
            raise ValueError(f"ids: expected no repeats, got {repeats} repeated ids, the first {first.item()!r}")

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: NDArray[np.int64] | NDArray[np.str_] | Sequence[int] | Sequence[str]) -> NDArray[np.int64]:
        """int64 [m]: the row of each id, -1 where it is unknown. Raises TypeError when the kinds differ."""
        asked = _as_ids(ids)
        if len(self) == 0 or len(asked) == 0:
            return np.full(len(asked), -1, np.int64)
        if asked.dtype.kind != self.ids.dtype.kind:
            kind = "integer" if self.ids.dtype.kind == "i" else "string"
            raise TypeError(f"ids: expected {kind} ids, got {asked.dtype}")
        place = np.searchsorted(self.ids, asked).clip(max=len(self) - 1)
        return np.where(self.ids[place] == asked, place, -1).astype(np.int64)

    def parse(self, words: Sequence[str]) -> list[int] | list[str]:
        """Ids from text: as they are where ids are strings, else whole numbers in plain digits. Raises ValueError."""
        if self.ids.dtype.kind != "i":
            return list(words)
        for place, word in enumerate(words):
            if not _WHOLE.fullmatch(word) or not -(2**63) <= int(word) < 2**63:
                raise ValueError(f"ids: expected whole numbers that fit int64, got {word!r:.60} at position {place}")
        return [int(word) for word in words]

    def external(self, rows: NDArray[np.integer]) -> NDArray[np.int64] | NDArray[np.str_]:
        """The external id of each row."""
        return self.ids[rows]  # type: ignore[no-any-return]


def _as_ids(ids: Any) -> NDArray[np.int64] | NDArray[np.str_]:
    if isinstance(ids, (list, tuple)):
        ids = _listed(ids)
    array = np.asarray(ids)
    if array.ndim != 1:
        raise ValueError(f"ids: expected one dimension, got shape {array.shape}")
    if array.dtype.kind == "O":
        array = _listed(array.tolist())
    if array.size == 0:
        return array if array.dtype.kind == "U" else np.zeros(0, np.int64)
    if array.dtype.kind == "U":
        if array.dtype.itemsize > 4 * LONGEST_ID:
            _refuse(np.char.str_len(array) > LONGEST_ID, array, f"at most {LONGEST_ID} characters")
            return array.astype(f"U{LONGEST_ID}")
        return array
    if array.dtype.kind not in "iu":
        raise TypeError(f"ids: expected integers or strings, got {array.dtype}")
    if array.dtype.kind == "u":
        _refuse(array > np.iinfo(np.int64).max, array, "values that fit int64")
    return array.astype(np.int64)


def _listed(ids: Any) -> NDArray[Any]:
    """int64 [n] or str [n] of Python's own objects, all of one kind."""
    if not ids:
        return np.zeros(0, np.int64)
    text = isinstance(ids[0], str)
    try:
        array = pa.array(ids, pa.string() if text else None)
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        _refuse_odd(ids, str if text else (int, np.integer))
        raise
    if not (pa.types.is_string(array.type) or pa.types.is_integer(array.type)) or array.null_count:
        _refuse_odd(ids, str if text else (int, np.integer))
    if text:
        _refuse(pc.match_substring(array, "\0"), ids, "strings without NUL characters")
        _refuse(pc.greater(pc.utf8_length(array), LONGEST_ID), ids, f"at most {LONGEST_ID} characters")
    found: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return found.astype(np.str_) if text else found


def _refuse_odd(ids: Any, kind: Any) -> None:
    """Raises for the first of `ids` that is not of `kind`, does not fit int64 or is no Unicode text."""
    name = "strings" if kind is str else "integers"
    for place, one in enumerate(ids):
        if not isinstance(one, kind) or isinstance(one, bool):
            # of the first, which says what kind they are, either kind would do
            wanted = name if place else "integers or strings"
            raise TypeError(f"ids: expected {wanted}, got {one!r:.60} at position {place}")
        if kind is not str and not -(2**63) <= one < 2**63:
            raise ValueError(f"ids: expected values that fit int64, got {one} at position {place}")
        if kind is str and any("\ud800" <= letter <= "\udfff" for letter in one):
            raise ValueError(f"ids: expected Unicode text, got {one!r:.60} at position {place}")
    raise TypeError(f"ids: expected {name}, got {ids!r:.60}")


def _refuse(wrong: Any, ids: Any, expected: str) -> None:
    mask = np.asarray(wrong)
    if mask.any():
        place = int(mask.argmax())
        raise ValueError(f"ids: expected {expected}, got {str(ids[place])!r:.60} at position {place}")
