"""The definition, in plain torch: three stable sorts, the last by segment."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.checks import check_offsets


def segment_topk(offsets: Tensor, score: Tensor, tie: Tensor, k: int, threads: int = 0) -> tuple[Tensor, Tensor]:
    check_input(offsets, score)
    segment = torch.repeat_interleave(torch.arange(len(offsets) - 1, device=tie.device), offsets.diff())
    order = torch.argsort(tie, stable=True)
    order = order[torch.argsort(score[order], stable=True, descending=True)]
    order = order[torch.argsort(segment[order], stable=True)]
    rank = torch.arange(len(order), device=tie.device) - offsets[segment]
    kept = torch.zeros_like(offsets)
    torch.cumsum(offsets.diff().clamp_max(k), 0, out=kept[1:])
    return order[rank < k], kept


def check_input(offsets: Tensor, score: Tensor) -> None:
    """Raises ValueError for NaN, or offsets that do not rise from 0 to the number of scores."""
    check_offsets("offsets", offsets, score.shape[0])
    nan = score.isnan()
    if bool(nan.any()):
        raise ValueError(f"score: expected numbers, got NaN at position {int(nan.nonzero()[0])}")
