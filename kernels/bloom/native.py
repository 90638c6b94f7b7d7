"""The C++ kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.settings import extension

_LAYOUT = {"block": 0, "classic": 1}


def bloom_insert(bits: Tensor, rows: Tensor, keys: Tensor, hashes: int, layout: str, threads: int = 0) -> None:
    extension().bloom_insert(bits.numpy(), rows.numpy(), keys.numpy(), hashes, _LAYOUT[layout], threads)


def bloom_contains(bits: Tensor, rows: Tensor, keys: Tensor, hashes: int, layout: str, threads: int = 0) -> Tensor:
    seen = keys.new_empty(keys.shape[0], dtype=torch.bool)
    extension().bloom_contains(bits.numpy(), rows.numpy(), keys.numpy(), hashes, _LAYOUT[layout], threads, seen.numpy())
    return seen


def bloom_contains_lists(
    bits: list[Tensor],
    rows: list[Tensor],
    hashes: list[int],
    offsets: Tensor,
    keys: Tensor,
    layout: str,
    threads: int = 0,
) -> Tensor:
    seen = keys.new_empty(keys.shape[0], dtype=torch.bool)
    banks = [bank.numpy() for bank in bits], [asked.numpy() for asked in rows], hashes
    extension().bloom_contains_lists(*banks, _LAYOUT[layout], offsets.numpy(), keys.numpy(), threads, seen.numpy())
    return seen
