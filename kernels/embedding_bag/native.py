"""The C++ kernel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from headrace.kernels.settings import extension

_DTYPE = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2}


def embedding_bag(
    values: Tensor,
    scales: Tensor,
    layout: Tensor,
    dims: Sequence[int],
    indices: Tensor,
    offsets: Tensor,
    weights: Tensor | None,
    pooling: str,
    threads: int = 0,
) -> Tensor:
    batch = max(offsets.shape[0] - 1, 0) // len(dims)
    out = indices.new_empty((batch, sum(dims)), dtype=torch.float32)
    raw = values.view(torch.int16) if values.dtype == torch.bfloat16 else values
    extension().embedding_bag(
        raw.numpy(),
        scales.numpy(),
        _DTYPE.get(values.dtype, -1),
        layout.numpy(),
        indices.numpy(),
        offsets.numpy(),
        None if weights is None else weights.detach().numpy(),
        int(pooling == "mean"),
        threads,
        out.numpy(),
    )
    return out
