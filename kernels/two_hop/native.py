"""The C++ kernel."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from headrace.kernels.settings import extension


def two_hop(
    users: Tensor,
    now: Tensor | None,
    seed_offsets: Tensor,
    seed: Tensor,
    seed_weight: Tensor,
    item_offsets: Tensor,
    item: Tensor,
    item_weight: Tensor | None,
    item_time: Tensor | None,
    limit: int,
    share: bool,
    k: int,
    threads: int,
) -> tuple[Tensor, Tensor, Tensor]:
    batch = users.shape[0]
    room = batch * min(k, item.shape[0])
    # NumPy makes and cuts arrays in a fraction of torch's time, which counts for a single request.
    kept, best, score = np.empty(batch + 1, np.int64), np.empty(room, np.int64), np.empty(room, np.float32)
    inputs = users, now, seed_offsets, seed, seed_weight, item_offsets, item, item_weight, item_time
    found = extension().two_hop(
        *(None if tensor is None else tensor.numpy() for tensor in inputs),
        *(limit, share, k, threads, kept, best, score),
    )
    return torch.from_numpy(kept), torch.from_numpy(best[:found]), torch.from_numpy(score[:found])
