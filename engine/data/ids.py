"""External ids (int64 or string) and dense rows: they meet here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class IdMap:
    """A two-way map between external ids and rows 0..n-1, rows in ascending order of id.

    ids: int64 [n] or str [n] array without repeats, in any order.
    Raises ValueError when an id repeats, TypeError when ids are neither integers nor strings.
    """

    def __init__(self, ids: NDArray[np.int64] | NDArray[np.str_] | Sequence[int] | Sequence[str]) -> None:
        array = np.asarray(ids)
        if array.dtype.kind in "iu" or array.size == 0:
            array = array.astype(np.int64)
        elif array.dtype.kind == "O" and all(isinstance(x, str) for x in array):
            array = array.astype(np.str_)
        elif array.dtype.kind != "U":
            raise TypeError(f"ids: expected integers or strings, got {array.dtype}")
        self.ids = np.unique(array)
        if len(self.ids) != len(array):
            raise ValueError(f"ids: expected no repeats, got {len(array) - len(self.ids)} repeated ids")

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: NDArray[np.int64] | NDArray[np.str_] | Sequence[int] | Sequence[str]) -> NDArray[np.int64]:
        """int64 [m]: the row of each id, -1 where it is unknown. Raises TypeError when the kinds differ."""
        asked = np.asarray(ids)
        if asked.size == 0:
            return np.zeros(0, np.int64)
        if (asked.dtype.kind in "iu") != (self.ids.dtype.kind == "i") or asked.dtype.kind not in "iuU":
            kind = "integer" if self.ids.dtype.kind == "i" else "string"
            raise TypeError(f"ids: expected {kind} ids, got {asked.dtype}")
        if len(self) == 0:
            return np.full(len(asked), -1, np.int64)
        place = np.searchsorted(self.ids, asked).clip(max=len(self) - 1)
        return np.where(self.ids[place] == asked, place, -1).astype(np.int64)

    def external(self, rows: NDArray[np.integer]) -> NDArray[np.int64] | NDArray[np.str_]:
        """The external id of each row."""
        return self.ids[rows]  # type: ignore[no-any-return]
