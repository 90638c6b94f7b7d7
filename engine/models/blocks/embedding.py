"""Embeddings of discrete columns."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from headrace.features.columns import Column


class FieldEmbedding(nn.Module):
    """The embeddings of several code columns in one table.

    fields: the columns; field f has the rows from starts[f] on. `forward` takes the codes of all of them in order, int
    [n] each, and gives float32 [n, F, dim]; or the codes of the one called `field`, int [...], and gives [..., dim].
    Raises ValueError for no column.
    """

    def __init__(self, fields: Sequence[Column], dim: int) -> None:
        super().__init__()
        if not fields:
            raise ValueError("fields: expected at least 1 code column, got none")
        self.fields = tuple(fields)
        self.names = [field.name for field in fields]
        starts = [0, *itertools.accumulate(field.size for field in fields)]
        self.table = nn.Embedding(starts[-1], dim, sparse=True)
        nn.init.normal_(self.table.weight, std=0.02)
        self.register_buffer("starts", torch.tensor(starts[:-1], dtype=torch.int32), persistent=False)
        self.starts: Tensor

    def forward(self, codes: Sequence[Tensor] | Tensor, field: str | None = None) -> Tensor:
        if isinstance(codes, Tensor):
            if field not in self.names:
                raise ValueError(f"field: expected one of {', '.join(self.names)}, got {field!r}")
            return self.table(codes + self.starts[self.names.index(field)])  # type: ignore[no-any-return]
        return self.table(torch.stack(list(codes), 1) + self.starts)  # type: ignore[no-any-return]
