"""The C++ backend: passes the tensors' memory on."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.settings import extension


def mixture_of_experts(
    weights: list[Tensor],
    sizes: list[int],
    request: Tensor,
    taste: Tensor,
    behaviours: Tensor,
    counts: Tensor,
    offsets: Tensor,
    item: Tensor,
    codes: Tensor,
    dynamic: Tensor,
    threads: int,
) -> Tensor:
    logits = torch.empty(sizes[0], len(item))
    inputs = (request, taste, behaviours, counts, offsets, item, codes, dynamic)
    views = [tensor.detach().numpy() for tensor in (*weights, *inputs)]
    extension().mixture_of_experts(views[: len(weights)], sizes, *views[len(weights) :], threads, logits.numpy())
    return logits
