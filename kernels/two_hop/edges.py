"""One hop of a walk: which nodes lead where, and how strongly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headrace.kernels.checks import check_offsets, check_tensor
from headrace.kernels.edge import FLOATS, IDS, takes


@takes(offsets=IDS, target=IDS, weight=FLOATS, time=IDS)
@dataclass(frozen=True, eq=False)
class Edges:
    """A graph's edges by source (CSR): node n leads to target[offsets[n]:offsets[n+1]], in the order of its list.

    offsets: int64 [nodes+1], from 0 to nnz. target: int64 [nnz]. weight: float32 [nnz], finite; None: 1 / rank, rank
    from 1 in the list. time: int64 [nnz], falling within each list, of edges that are there from some time on; None:
    all always are.
    Raises TypeError for wrong types, ValueError for wrong shapes, offsets, weights that are not finite or times that
    rise within a list.
    """

    offsets: Tensor
    target: Tensor
    weight: Tensor | None = None
    time: Tensor | None = None

    def __post_init__(self) -> None:
        device = self.target.device
        check_tensor("offsets", self.offsets, dtype=torch.int64, ndim=1, device=device)
        check_tensor("target", self.target, dtype=torch.int64, ndim=1)
        check_offsets("offsets", self.offsets, len(self.target))
        for name, dtype in (("weight", torch.float32), ("time", torch.int64)):
            column = getattr(self, name)
            if column is not None:
                check_tensor(name, column, dtype=dtype, ndim=1, device=device)
                if len(column) != len(self.target):
                    raise ValueError(f"{name}: expected {len(self.target)} entries, one a target, got {len(column)}")
        if self.weight is not None and not bool(self.weight.isfinite().all()):
            raise ValueError("weight: expected finite numbers, got NaN or infinity")
        if self.time is not None:
            rises = self.time[1:] > self.time[:-1]
            starts = self.offsets[1:-1]
            rises[starts[(starts > 0) & (starts < len(self.time))] - 1] = False
            if bool(rises.any()):
                raise ValueError("time: expected no rise within a list, latest first")
        for name in ("offsets", "target", "weight", "time"):
            column = getattr(self, name)
            object.__setattr__(self, name, None if column is None else column.contiguous())

    @property
    def nodes(self) -> int:
        """How many sources there are."""
        return self.offsets.shape[0] - 1
