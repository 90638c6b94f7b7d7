"""How far float32 arithmetic may be off, from the arithmetic of the op alone."""

from __future__ import annotations

import numpy as np

U = 2.0**-24  # one float32 rounding


def sum_error(terms, magnitude):
    """Of a sum of so many products, in any order, whose absolute values sum to `magnitude`."""
    return (terms + 2) * U * magnitude


def within(got, exact, error):
    """Whether every number of `got` (float32) lies within `error` of `exact` (float64)."""
    got, exact, error = (np.asarray(x, np.float64) for x in (got, exact, error))
    return got.shape == exact.shape and bool((np.abs(got - exact) <= error).all())
