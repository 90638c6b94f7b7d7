"""top-k in C++."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace import _C
from headrace.kernels.topk.checks import METRICS
from headrace.kernels.topk.packed import SCANS


def topk(
    queries: Tensor, items: Tensor, k: int, metric: str, mask: Tensor | None, threads: int
) -> tuple[Tensor, Tensor]:
    scores, ids = _empty(queries, k)
    _C.topk(
        queries.contiguous().numpy(),
        items.contiguous().numpy(),
        k,
        METRICS.index(metric),
        _words(mask),
        threads,
        scores.numpy(),
        ids.numpy(),
    )
    return scores, ids


def topk_packed(
    queries: Tensor,
    items: Tensor | None,
    packed: Tensor,
    n_items: int,
    k: int,
    metric: str,
    scan: str,
    mask: Tensor | None,
    threads: int,
) -> tuple[Tensor, Tensor, Tensor]:
    scores, ids = _empty(queries, k)
    counts = _C.topk_packed(
        queries.contiguous().numpy(),
        None if items is None else items.contiguous().numpy(),
        packed.numpy(),
        n_items if items is None else items.shape[0],
        k,
        METRICS.index(metric),
        SCANS.index(scan),
        _words(mask),
        threads,
        scores.numpy(),
        ids.numpy(),
    )
    return scores, ids, torch.tensor(counts, device=queries.device)


def _empty(queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    shape = (queries.shape[0], k)
    return queries.new_empty(shape, dtype=torch.float64), queries.new_empty(shape, dtype=torch.int64)


def _words(mask: Tensor | None) -> NDArray[np.uint64] | None:
    if mask is None:
        return None
    words = mask.contiguous().numpy()
    return words.view(np.uint64) if words.dtype == np.int64 else words
