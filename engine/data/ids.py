"""External ids (int64 or string) and dense rows: they meet here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


class IdMap:
    """A two-way map between external ids and rows 0..n-1, rows in ascending order of id.

    ids: int64 [n] or str [n] array without repeats, in any order. Strings are ordered by code point.
    Raises ValueError when an id repeats or does not fit, TypeError when ids are neither integers nor strings.
    """

    def __init__(self, ids: NDArray[np.int64] | NDArray[np.str_] | Sequence[int] | Sequence[str]) -> None:
        array = _as_ids(ids).copy()
        array.sort()
        self.ids = array
        if repeats := int((self.ids[1:] == self.ids[:-1]).sum()):
            raise ValueError(f"ids: expected no repeats, got {repeats} repeated ids")

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

    def external(self, rows: NDArray[np.integer]) -> NDArray[np.int64] | NDArray[np.str_]:
        """The external id of each row."""
        return self.ids[rows]  # type: ignore[no-any-return]


def _as_ids(ids: Any) -> NDArray[np.int64] | NDArray[np.str_]:
    array = np.asarray(ids)
    if array.ndim != 1:
        raise ValueError(f"ids: expected one dimension, got shape {array.shape}")
    if array.dtype.kind == "U":
        # asarray has already cut trailing NULs off a list of strings; the list itself still shows them
        if not isinstance(ids, np.ndarray):
            _refuse_nul(pa.array(ids, pa.string()))
        return array
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.dtype.kind == "O":
        try:
            text = pa.array(array, pa.string())
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            text = None
        if text is None or text.null_count:
            raise TypeError("ids: expected integers or strings, got mixed objects")
        _refuse_nul(text)
        return array.astype(np.str_)
    if array.dtype.kind not in "iu":
        raise TypeError(f"ids: expected integers or strings, got {array.dtype}")
    if array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"ids: expected values that fit int64, got {array.max()}")
    return array.astype(np.int64)


def _refuse_nul(text: pa.Array) -> None:
    # NumPy's fixed-width strings lose trailing NULs, so two such ids could become one
    if pc.any(pc.match_substring(text, "\0")).as_py():
        raise ValueError("ids: expected strings without NUL characters")
