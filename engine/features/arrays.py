"""From NumPy to torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def tensor_of(array: NDArray[Any]) -> Tensor:
    """The array as a tensor, copied only where torch could not share it: read-only (Arrow) or strided memory."""
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))
