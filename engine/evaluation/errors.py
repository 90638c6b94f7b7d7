"""How far predicted values are from what came: RMSE and MAPE. NaN without rows."""

from __future__ import annotations

import numpy as np

from headrace.arrays import Array, reals, same_length


def rmse(values: Array, predictions: Array) -> float:
    """The root of the mean squared difference; a few large ones outweigh many small ones."""
    value, predicted = reals(values, "values"), reals(predictions, "predictions")
    same_length(values=value, predictions=predicted)
    return float(np.sqrt(np.square(value - predicted).mean())) if len(value) else float("nan")


def mape(values: Array, predictions: Array) -> float:
    """The mean absolute difference as a share of the value (0.12 is 12 %). Raises ValueError for a value of 0."""
    value, predicted = reals(values, "values"), reals(predictions, "predictions")
    same_length(values=value, predictions=predicted)
    if (value == 0).any():
        raise ValueError(f"values: expected none of 0, got {int((value == 0).sum())} of {len(value)}")
    return float(np.abs((value - predicted) / value).mean()) if len(value) else float("nan")
