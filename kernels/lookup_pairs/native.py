"""The C++ kernel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from headrace.kernels.settings import extension

Columns = tuple[Tensor, Tensor, Tensor, Tensor | None]


def lookup_pairs(tables: Sequence[Columns], keys: Tensor, offsets: Tensor, item: Tensor, *, threads: int = 0) -> Tensor:
    out = torch.empty(item.shape[0], sum(rows.shape[1] for _, _, rows, _ in tables))
    columns = [tuple(None if part is None else part.numpy() for part in table) for table in tables]
    extension().lookup_pairs(columns, keys.numpy(), offsets.numpy(), item.numpy(), threads, out.numpy())
    return out
