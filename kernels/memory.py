"""Memory for what is read at random, or at the memory's full speed."""

from __future__ import annotations

import mmap

import torch
from torch import Tensor

#: Bytes; less fits no huge page.
_LEAST = 1 << 22


def zeros_on_huge_pages(count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """`count` zeros; in main memory on huge pages where the system has them.

    Processors look up fewer pages for rows read at random, and read ahead beyond 4 KiB.
    """
    if device.type != "cpu" or count * dtype.itemsize < _LEAST:
        return torch.zeros(count, dtype=dtype, device=device)
    memory = mmap.mmap(-1, count * dtype.itemsize, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype)
