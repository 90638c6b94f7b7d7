"""The C++ backend: passes the tensors' memory on."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.settings import extension


def three_towers(
    weights: list[Tensor],
    sizes: list[int],
    request: Tensor,
    offsets: Tensor,
    item: Tensor,
    codes: Tensor,
    dynamic: Tensor,
    threads: int,
) -> Tensor:
    logits = torch.empty(sizes[0], len(item))
    views = [tensor.detach().numpy() for tensor in (*weights, request, offsets, item, codes, dynamic)]
    extension().three_towers(views[: len(weights)], sizes, *views[len(weights) :], threads, logits.numpy())
    return logits
