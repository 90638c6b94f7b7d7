"""What every metric checks about the arrays it is given. Metrics run in NumPy, float64, on the CPU."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Array = ArrayLike | Tensor
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def to_numpy(values: Array) -> NDArray[np.generic]:
    """A NumPy view of `values`; a tensor on a device is copied."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def integers(values: Array, name: str, ndim: int = 1) -> Ints:
    """`values` as int64, or an error that names the argument."""
    array = to_numpy(values)
    if array.ndim != ndim:
        raise ValueError(f"{name}: expected {ndim} dimension(s), got shape {array.shape}")
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"{name}: expected integers, got {array.dtype}")
    return array.astype(np.int64, copy=False)


def reals(values: Array, name: str, ndim: int = 1) -> Floats:
    """`values` as float64 without NaN, or an error that names the argument."""
    array = to_numpy(values)
    if array.ndim != ndim:
        raise ValueError(f"{name}: expected {ndim} dimension(s), got shape {array.shape}")
    if array.size and not (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_):
        raise TypeError(f"{name}: expected numbers, got {array.dtype}")
    out = array.astype(np.float64, copy=False)
    if np.isnan(out).any():
        raise ValueError(f"{name}: expected no NaN, got {int(np.isnan(out).sum())} of {out.size}")
    return out


def binary(labels: Array, name: str = "labels") -> NDArray[np.bool_]:
    """`labels` as bool; every value must be 0 or 1."""
    values = reals(labels, name)
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        raise ValueError(f"{name}: expected 0 or 1, got {values[wrong][0]:g}")
    return np.equal(values, 1)


def probabilities(predictions: Array, name: str = "predictions") -> Floats:
    """`predictions` as float64 in [0, 1]."""
    values = reals(predictions, name)
    outside = (values < 0) | (values > 1)
    if outside.any():
        raise ValueError(f"{name}: expected values in [0, 1], got {values[outside][0]:g}")
    return values


def same_length(**arrays: NDArray[np.generic]) -> None:
    """An error that names the arguments unless all arrays have as many rows."""
    if len({len(array) for array in arrays.values()}) > 1:
        got = ", ".join(f"{name} {len(array)}" for name, array in arrays.items())
        raise ValueError(f"expected as many rows in each, got {got}")


def at_least_one(value: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name}: expected at least 1, got {value}")
    return int(value)
