"""The C++ kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.settings import extension
from headrace.kernels.two_hop.reference import Items, Seeds


def two_hop(
    users: Tensor, now: Tensor | None, seeds: Seeds, items: Items, limit: int, share: bool, k: int, *, threads: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    batch = users.shape[0]
    room = batch * min(k, items[1].shape[0])
    kept, item = torch.empty(batch + 1, dtype=torch.int64), torch.empty(room, dtype=torch.int64)
    score = torch.empty(room)
    found = extension().two_hop(
        users.numpy(),
        None if now is None else now.numpy(),
        *(tensor.numpy() for tensor in seeds),
        *(None if tensor is None else tensor.numpy() for tensor in items),
        *(limit, share, k, threads),
        *(kept.numpy(), item.numpy(), score.numpy()),
    )
    return kept, item[:found], score[:found]
