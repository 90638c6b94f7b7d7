"""The C++ kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.settings import extension


def segment_topk(offsets: Tensor, score: Tensor, tie: Tensor, k: int, threads: int = 0) -> tuple[Tensor, Tensor]:
    kept = torch.empty_like(offsets)
    index = tie.new_empty(min(score.shape[0], k * max(offsets.shape[0] - 1, 0)), dtype=torch.int64)
    arrays = (tensor.numpy() for tensor in (offsets, score, tie))
    extension().segment_topk(*arrays, k, threads, index.numpy(), kept.numpy())
    found = int(kept[-1])
    return index if found == len(index) else index[:found], kept
