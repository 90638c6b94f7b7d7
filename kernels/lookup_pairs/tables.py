"""The tables that are keyed by pairs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headrace.kernels.checks import check_offsets, check_tensor
from headrace.kernels.edge import CODES, FLOATS, IDS, takes


@takes(offsets=IDS, codes=CODES, rows=FLOATS, item_code=CODES)
@dataclass(frozen=True, eq=False)
class PairTable:
    """A row for each pair that was ever seen, and one for all others.

    offsets: int64 [lists+1], from 0 to nnz. codes: int32 [nnz], at least 0, rising within each list: entry e of list l
    stands for the pair (l, codes[e]). rows: float32 [nnz+1, width]: row e + 1 is entry e's, row 0 that of every other
    pair. item_code: int32 [items], the code of each item, -1 unknown; the lists are then those of the requests' keys,
    e.g. of users. None: each item has a list, and a request's key is the code, e.g. its context.
    Raises TypeError for wrong types, ValueError for wrong shapes, offsets or an order of codes that falls.
    """

    offsets: Tensor
    codes: Tensor
    rows: Tensor
    item_code: Tensor | None

    def __post_init__(self) -> None:
        device = self.rows.device
        check_tensor("offsets", self.offsets, dtype=torch.int64, ndim=1, device=device)
        check_tensor("codes", self.codes, dtype=torch.int32, ndim=1, device=device)
        check_tensor("rows", self.rows, dtype=torch.float32, ndim=2)
        if self.item_code is not None:
            check_tensor("item_code", self.item_code, dtype=torch.int32, ndim=1, device=device)
        check_offsets("offsets", self.offsets, len(self.codes))
        if len(self.rows) != len(self.codes) + 1:
            raise ValueError(f"rows: expected {len(self.codes) + 1}, one more than codes, got {len(self.rows)}")
        falls = self.codes.diff() <= 0
        starts = self.offsets[1:-1]
        falls[starts[(starts > 0) & (starts < len(self.codes))] - 1] = False
        if bool(falls.any()) or bool((self.codes < 0).any()):
            raise ValueError("codes: expected at least 0, rising within each list")
        for name in ("offsets", "codes", "rows", "item_code"):
            tensor = getattr(self, name)
            object.__setattr__(self, name, None if tensor is None else tensor.contiguous())

    @property
    def width(self) -> int:
        """Columns of a row."""
        return self.rows.shape[1]
