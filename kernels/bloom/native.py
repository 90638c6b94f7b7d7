"""The C++ kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.settings import extension

_LAYOUT = {"block": 0, "classic": 1}


def bloom_insert(bits: Tensor, rows: Tensor, keys: Tensor, hashes: int, *, layout: str, threads: int = 0) -> None:
    extension().bloom_insert(bits.numpy(), rows.numpy(), keys.numpy(), hashes, _LAYOUT[layout], threads)


def bloom_contains(bits: Tensor, rows: Tensor, keys: Tensor, hashes: int, *, layout: str, threads: int = 0) -> Tensor:
    seen = torch.empty(keys.shape[0], dtype=torch.bool)
    extension().bloom_contains(bits.numpy(), rows.numpy(), keys.numpy(), hashes, _LAYOUT[layout], threads, seen.numpy())
    return seen
