"""The C++ kernel."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from headrace.kernels.settings import extension
from headrace.kernels.two_hop.reference import Items, Seeds


def two_hop(
    users: Tensor, now: Tensor | None, seeds: Seeds, items: Items, limit: int, share: bool, k: int, *, threads: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    batch = users.shape[0]
    room = batch * min(k, items[1].shape[0])
    # NumPy makes and cuts arrays in a fraction of torch's time, which counts for a single request.
    kept, item, score = np.empty(batch + 1, np.int64), np.empty(room, np.int64), np.empty(room, np.float32)
    found = extension().two_hop(
        users.numpy(),
        None if now is None else now.numpy(),
        *(tensor.numpy() for tensor in seeds),
        *(None if tensor is None else tensor.numpy() for tensor in items),
        *(limit, share, k, threads, kept, item, score),
    )
    return torch.from_numpy(kept), torch.from_numpy(item[:found]), torch.from_numpy(score[:found])
