"""The C++ kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.settings import extension


def pool_items(
    offsets: Tensor, item: Tensor, score: Tensor | None, limits: list[int], constant: float, k: int, *, threads: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    batch = offsets.shape[1] - 1
    room = min(offsets.shape[0] * item.shape[0], k * batch)
    kept, found = torch.empty(batch + 1, dtype=torch.int64), torch.empty(room, dtype=torch.int64)
    total, lists = torch.empty(room), torch.empty(room, dtype=torch.int64)
    extension().pool_items(
        offsets.numpy(),
        item.numpy(),
        None if score is None else score.numpy(),
        torch.tensor(limits).numpy(),
        constant,
        k,
        threads,
        *(tensor.numpy() for tensor in (kept, found, total, lists)),
    )
    count = int(kept[-1])
    return kept, found[:count], total[:count], lists[:count]
