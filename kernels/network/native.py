"""The C++ backend: passes the tensors' memory on."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.settings import extension


def network(
    tensors: list[Tensor],
    numbers: list[int],
    request: Tensor,
    sequences: list[Tensor],
    counts: list[Tensor],
    offsets: Tensor,
    item: Tensor,
    codes: Tensor,
    pair: Tensor,
    threads: int,
) -> Tensor:
    logits = torch.empty(numbers[5], len(item))
    program = [tensor.detach().numpy() for tensor in tensors]
    lists = [[tensor.detach().numpy() for tensor in part] for part in (sequences, counts)]
    views = [tensor.detach().numpy() for tensor in (offsets, item, codes, pair)]
    extension().network(
        program[:3], program[3:], numbers, request.detach().numpy(), *lists, *views, threads, logits.numpy()
    )
    return logits
