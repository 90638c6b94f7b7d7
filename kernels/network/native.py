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
    logits = request.new_empty(numbers[5], len(item))
    weights, item_rows, code_rows, request_code, pair_code, *packed = [tensor.detach().numpy() for tensor in tensors]
    lists = [[tensor.detach().numpy() for tensor in part] for part in (sequences, counts)]
    views = [tensor.detach().numpy() for tensor in (offsets, item, codes, pair)]
    extension().network(
        [weights, item_rows, code_rows, *packed],
        [request_code, pair_code],
        numbers,
        request.detach().numpy(),
        *lists,
        *views,
        threads,
        logits.numpy(),
    )
    return logits


def pack(weights: Tensor, pair_code: Tensor) -> Tensor:
    """What a program in bfloat16 multiplies by: all weights rounded, and the tiles of its large layers.

    weights: float32 [W]. pair_code: int64 [instructions, ENCODED]. Raises ValueError for a layer that does not fit.
    """
    packed = extension().network_pack(weights.detach().numpy(), pair_code.numpy())
    # Unlike NumPy's, memory of torch begins a cache line.
    return torch.from_numpy(packed).clone()
