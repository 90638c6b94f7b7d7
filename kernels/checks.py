"""Argument checks that every op shares. Each error names the argument, what was expected and what came."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def check_tensor(
    name: str,
    tensor: Tensor,
    *,
    dtype: torch.dtype | Sequence[torch.dtype],
    ndim: int,
    device: torch.device | None = None,
) -> None:
    """Raises TypeError for a wrong type or dtype, ValueError for a wrong number of dimensions or device."""
    allowed = (dtype,) if isinstance(dtype, torch.dtype) else dtype
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(tensor).__name__}")
    if tensor.dtype not in allowed:
        words = " or ".join(str(d).removeprefix("torch.") for d in allowed)
        raise TypeError(f"{name}: expected {words}, got {str(tensor.dtype).removeprefix('torch.')}")
    if tensor.dim() != ndim:
        raise ValueError(f"{name}: expected {ndim} dimensions, got shape {tuple(tensor.shape)}")
    if device is not None and tensor.device != device:
        raise ValueError(f"{name}: expected a tensor on {device}, got {tensor.device}")


def check_offsets(name: str, offsets: Tensor, total: int) -> None:
    """Raises ValueError unless `offsets` (int64 [n+1]) start at 0, never fall and end at `total`."""
    if offsets.shape[0] < 1:
        raise ValueError(f"{name}: expected at least 1 entry, got 0")
    if int(offsets[0]) != 0 or int(offsets[-1]) != total:
        raise ValueError(f"{name}: expected to run from 0 to {total}, got {int(offsets[0])} to {int(offsets[-1])}")
    if bool((offsets.diff() < 0).any()):
        raise ValueError(f"{name}: expected no falling entries, got a fall at {int((offsets.diff() < 0).nonzero()[0])}")


def check_at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name}: expected at least {least}, got {value}")
