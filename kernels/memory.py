"""Memory for tables whose rows are read at random."""

from __future__ import annotations

import mmap

import torch
from torch import Tensor


def zeros_on_huge_pages(count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """`count` zeros; in main memory on huge pages where the system has them, since rows are read at random."""
    if device.type != "cpu" or count == 0:
        return torch.zeros(count, dtype=dtype, device=device)
    memory = mmap.mmap(-1, count * dtype.itemsize, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype)
