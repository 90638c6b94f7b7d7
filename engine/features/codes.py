"""Codes: fixed buckets of continuous values, the clock, and the codes of a log made those of a column (0 unknown)."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.features.arrays import tensor_of
from headrace.features.windows import DAY_MS, HOUR_MS

DURATION_BUCKETS = 24
AGE_BUCKETS = 24
HOURS = 25
WEEKDAYS = 8


def shifted(codes: NDArray[np.integer] | Tensor, size: int) -> Tensor:
    """int32: raw codes (-1 unknown) as a column's codes; a code the fit never saw is unknown."""
    raw = (codes if isinstance(codes, Tensor) else tensor_of(codes)).long() + 1
    return torch.where((raw > 0) & (raw < size), raw, 0).int()


def size_of(codes: NDArray[np.integer]) -> int:
    """How many codes a column of these raw codes has, the unknown one among them."""
    return int(codes.max(initial=-1)) + 2


def duration_bucket(duration_ms: Tensor) -> Tensor:
    """int32: 1 + floor(2 log2(seconds)), within 1..23; 0 where unknown (-1)."""
    bucket = (duration_ms.double().clamp_min(1000) / 1000).log2().mul(2).floor().clamp(0, DURATION_BUCKETS - 2) + 1
    return torch.where(duration_ms >= 0, bucket, 0).int()


def age_bucket(publish_time: Tensor, time: Tensor) -> Tensor:
    """int32: 1 + floor(2 log2(1 + hours since publication)), within 1..23; 0 where unknown (-1)."""
    bucket = torch.bucketize(time - publish_time, _age_edges(), right=True, out_int32=True) + 1
    return torch.where(publish_time != -1, bucket, 0)


@cache
def _age_edges() -> Tensor:
    """int64 [22]: the age in ms at which each bucket above the first begins; comparing is faster than logarithms."""
    wanted = torch.arange(2, AGE_BUCKETS)
    low, high = torch.zeros_like(wanted), torch.full_like(wanted, 1 << 40)
    for _ in range(41):
        middle = (low + high) // 2
        reached = (1 + middle.double() / HOUR_MS).log2().mul(2).floor() + 1 >= wanted
        low, high = torch.where(reached, low, middle + 1), torch.where(reached, middle, high)
    return low


def hour_of(time: Tensor) -> Tensor:
    """int32: the hour of day of `time` (local ms), 1..24."""
    return (time.remainder(DAY_MS) // HOUR_MS + 1).int()


def weekday_of(time: Tensor) -> Tensor:
    """int32: the day of the week of `time` (local ms), 1 Monday .. 7 Sunday."""
    return ((time // DAY_MS + 3).remainder(7) + 1).int()
