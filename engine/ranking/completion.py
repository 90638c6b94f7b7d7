"""Completion made comparable across lengths: long items are finished less often."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.features.codes import DURATION_BUCKETS


class CompletionCurve:
    """f(duration): the completion rate by duration bucket. rate: float32 [buckets]; bucket 0 is an unknown duration."""

    def __init__(self, rate: Tensor) -> None:
        self.rate = rate

    @classmethod
    def fit(cls, bucket: Tensor, completed: Tensor, known: Tensor) -> CompletionCurve:
        """From the bucket (int [n]) and the outcome (0 or 1, [n]) of the rows that are `known` (1 or 0, [n]).

        Each bucket is smoothed with 100 rows at the overall rate; none is below 1 %.
        """
        code = bucket.long()
        rows = torch.zeros(DURATION_BUCKETS, dtype=torch.float64).index_add_(0, code, known.double())
        done = torch.zeros(DURATION_BUCKETS, dtype=torch.float64).index_add_(0, code, (completed * known).double())
        overall = done.sum() / rows.sum().clamp_min(1)
        return cls(((done + 100 * overall) / (rows + 100)).clamp_min(0.01).float())

    @classmethod
    def flat(cls) -> CompletionCurve:
        """A curve that adjusts nothing."""
        return cls(torch.ones(DURATION_BUCKETS, dtype=torch.float32))

    def adjust(self, probability: Tensor, bucket: Tensor) -> Tensor:
        """p_finish = predicted completion / f(duration), float32 [n]; it may exceed 1."""
        return probability / self.rate.index_select(0, bucket.int())
