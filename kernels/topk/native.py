"""top-k in C++."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from headrace import _C
from headrace.kernels.topk.checks import METRICS


def topk(
    queries: Tensor, items: Tensor, k: int, metric: str, mask: Tensor | None, threads: int
) -> tuple[Tensor, Tensor]:
    scores = torch.empty(queries.shape[0], k)
    ids = torch.empty(queries.shape[0], k, dtype=torch.int64)
    words = None if mask is None else mask.contiguous().numpy().view(np.uint64)
    _C.topk(
        queries.contiguous().numpy(),
        items.contiguous().numpy(),
        k,
        METRICS.index(metric),
        words,
        words.shape[1] if words is not None and words.ndim == 2 else 0,
        threads,
        scores.numpy(),
        ids.numpy(),
    )
    return scores, ids
