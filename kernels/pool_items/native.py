"""The C++ kernel."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from headrace.kernels.settings import extension


def pool_items(
    offsets: Tensor,
    item: Tensor,
    score: Tensor | None,
    limits: list[int],
    constant: float,
    k: int,
    ranks: bool,
    threads: int = 0,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    batch = offsets.shape[1] - 1
    room = min(offsets.shape[0] * item.shape[0], k * batch)
    # NumPy makes and cuts arrays in a fraction of torch's time, which counts for a single request.
    kept, found = np.empty(batch + 1, np.int64), np.empty(room, np.int64)
    total, lists = np.empty(room, np.float32), np.empty(room, np.int64)
    rank = np.empty((room if ranks else 0, offsets.shape[0]), np.int32)
    extension().pool_items(
        offsets.numpy(),
        item.numpy(),
        None if score is None else score.numpy(),
        np.array(limits, np.int64),
        *(constant, k, threads, kept, found, total, lists),
        rank if ranks else None,
    )
    count = int(kept[-1])
    pooled, sums, bits, places = (torch.from_numpy(column[:count]) for column in (found, total, lists, rank))
    return torch.from_numpy(kept), pooled, sums, bits, places
