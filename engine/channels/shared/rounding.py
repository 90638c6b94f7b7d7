"""Sums that ought to be equal made so."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def rounded(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums to 40 of their 53 bits: equal ones may differ in their last bits by the order of their additions."""
    mantissa, power = np.frexp(sums)
    out: NDArray[np.float64] = np.ldexp(np.round(mantissa * 2**40), power - 40)
    return out
