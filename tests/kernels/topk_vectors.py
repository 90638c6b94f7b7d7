"""Vectors that tests of top-k share."""

from __future__ import annotations

import torch
from torch import Tensor


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ends_of_float32(n: int, dim: int) -> Tensor:
    items = normal(n, dim, seed=8)
    items[: n // 5] *= 1e-42
    items[n // 5 : n // 4] = 0
    items[n // 4 : n // 3] = torch.finfo(torch.float32).max
    items[n // 3 : n // 2] *= 1e-30
    return items
