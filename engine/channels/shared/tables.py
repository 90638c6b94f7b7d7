"""Embedding tables of trained channels."""

from __future__ import annotations

import torch
from torch import nn

#: Beyond this many rows a table's gradients are sparse: a dense Adam step over the rest would cost more.
SPARSE_ROWS = 250_000


def embedding_table(rows: int, dim: int, std: float) -> nn.Embedding:
    """A table of `rows` normal draws of that deviation."""
    table = nn.Embedding(rows, dim, sparse=rows > SPARSE_ROWS, dtype=torch.float32)
    nn.init.normal_(table.weight, std=std)
    return table
