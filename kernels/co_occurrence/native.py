"""The C++ kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from headrace.kernels.settings import extension


def co_occurrence(
    offsets: Tensor,
    item: Tensor,
    weight: Tensor | None,
    row: Tensor | None,
    column: Tensor | None,
    kept: Tensor | None,
    items: int,
    cosine: bool,
    shrink: float,
    min_common: int,
    k: int,
    threads: int,
) -> tuple[Tensor, Tensor, Tensor]:
    likes = [None if one is None else one.numpy() for one in (offsets, item, weight, row, column, kept)]
    return _found("co_occurrence", items, k, *likes, items, cosine, shrink, min_common, k, threads)


def swing(
    offsets: Tensor, item: Tensor, kept: Tensor | None, items: int, alpha: float, k: int, threads: int
) -> tuple[Tensor, Tensor, Tensor]:
    likes = [None if one is None else one.numpy() for one in (offsets, item, kept)]
    return _found("swing", items, k, *likes, items, alpha, k, threads)


def _found(name: str, items: int, k: int, *given: Any) -> tuple[Tensor, Tensor, Tensor]:
    room = items * min(k, items)
    offsets, nearest, score = np.empty(items + 1, np.int64), np.empty(room, np.int64), np.empty(room, np.float32)
    found = getattr(extension(), name)(*given, offsets, nearest, score)
    # What is left of the room would otherwise stay as long as the neighbours do.
    return torch.from_numpy(offsets), torch.from_numpy(nearest[:found].copy()), torch.from_numpy(score[:found].copy())
