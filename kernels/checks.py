"""Argument checks that every op shares. Each error names the argument, what was expected and what came."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor

#: Entries that a padded result may have whatever there is to fill them.
MOST_PADDED = 2**16
MAX_INT = 2**63 - 1


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
    # One answer for all of it: on a GPU each question would wait for the device.
    if not bool((offsets[0] != 0) | (offsets[-1] != total) | (offsets[1:] < offsets[:-1]).any()):
        return
    if int(offsets[0]) != 0 or int(offsets[-1]) != total:
        raise ValueError(f"{name}: expected to run from 0 to {total}, got {int(offsets[0])} to {int(offsets[-1])}")
    fall = int((offsets[1:] < offsets[:-1]).nonzero()[0])
    raise ValueError(f"{name}: expected no falling entries, got a fall at {fall}")


def check_int(name: str, value: int) -> None:
    """Raises TypeError for what is no integer (a bool is none), ValueError beyond 64 bits."""
    if type(value) is not int and (isinstance(value, bool) or not hasattr(value, "__index__")):
        raise TypeError(f"{name}: expected an int, got {type(value).__name__}")
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"{name}: expected {-(1 << 63)} to {MAX_INT}, got {value}")


def check_number(name: str, value: object) -> None:
    """Raises TypeError for what is no real number (a bool is none)."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")


def check_at_least(name: str, value: int, least: int) -> None:
    check_int(name, value)
    if value < least:
        raise ValueError(f"{name}: expected at least {least}, got {value}")


def check_between(name: str, value: int, least: int, most: int) -> None:
    check_int(name, value)
    if not least <= value <= most:
        raise ValueError(f"{name}: expected {least} to {most}, got {value}")


def check_count(name: str, value: int) -> None:
    """Raises TypeError for what is no integer, ValueError outside 1 to 2^63 - 1."""
    if isinstance(value, int) and value > MAX_INT:
        raise ValueError(f"{name}: expected at most {MAX_INT}, got {value}")
    check_at_least(name, value, 1)


def check_k(name: str, k: int, there: int) -> None:
    """Raises ValueError unless `k` is at least 1 and at most MOST_PADDED or `there`, what there is to choose from.

    Of results that are padded to k, so that they cost what there is, not what was asked.
    """
    most = max(MOST_PADDED, there)
    if isinstance(k, int) and k > most:
        raise ValueError(f"{name}: expected at most {most}, got {k}")
    check_at_least(name, k, 1)


def check_indices(name: str, index: Tensor, size: int) -> None:
    """Raises ValueError unless every entry is from 0 to size - 1."""
    if index.numel() and (int(index.min()) < 0 or int(index.max()) >= size):
        raise ValueError(f"{name}: expected 0 to {size - 1}, got {int(index.min())} to {int(index.max())}")


def check_finite(name: str, values: Tensor) -> None:
    """Raises ValueError for NaN or infinity, naming the first row that has one."""
    if not bool(values.isfinite().all()):
        row = int((~values.isfinite()).flatten(1).any(1).nonzero()[0])
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity in row {row}")


def check_shape(
    name: str, tensor: Tensor, dtype: torch.dtype, shape: Sequence[int | None], device: torch.device
) -> None:
    """`check_tensor`, and ValueError for another shape; None stands for any size."""
    check_tensor(name, tensor, dtype=dtype, ndim=len(shape), device=device)
    if any(want is not None and want != got for want, got in zip(shape, tensor.shape, strict=True)):
        raise ValueError(f"{name}: expected shape {tuple(shape)}, None for any size, got {tuple(tensor.shape)}")


def check_weight(name: str, tensor: Tensor, shape: Sequence[int | None], device: torch.device) -> None:
    """Raises unless `tensor` is a float32 tensor of `shape` (None: any size), finite and on `device`."""
    check_shape(name, tensor, torch.float32, shape, device)
    if tensor.numel() and not all(extreme.isfinite() for extreme in tensor.aminmax()):
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
