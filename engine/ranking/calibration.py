"""Calibration of probabilities learnt on down-sampled negatives (He et al., ADKDD 2014)."""

from __future__ import annotations

import torch
from torch import Tensor


def calibrate(probability: Tensor, rate: float) -> Tensor:
    """p = rate * q / ((1 - q) + rate * q): the probability q of a model trained on the share `rate` of the negatives.

    Raises ValueError unless 0 < rate <= 1.
    """
    _check(rate)
    return rate * probability / ((1 - probability) + rate * probability)


def calibrate_logits(logits: Tensor, rates: Tensor) -> Tensor:
    """The same in log-odds, where it is exact: logit(p) = logit(q) + ln(rate). logits [..., T], rates float [T]."""
    return logits + rates.log().to(logits.dtype)


def measure(probability: Tensor, label: Tensor, buckets: int = 10) -> dict[str, float]:
    """How well probabilities (float [n]) agree with labels (0 or 1, [n]).

    Returns predicted and observed mean rates, their ratio, and `ece`: the mean absolute gap over `buckets` groups of
    equal size in order of prediction. Raises ValueError when there are no rows.
    """
    if len(probability) == 0:
        raise ValueError("probability: expected at least 1 row, got 0")
    order = torch.argsort(probability)
    p, y = probability[order].double(), label[order].double()
    bucket = torch.arange(len(p)) * buckets // len(p)
    size = torch.bincount(bucket, minlength=buckets)
    gap = torch.zeros(buckets, dtype=torch.float64).index_add_(0, bucket, p - y).abs().sum() / size.sum()
    predicted, observed = float(p.mean()), float(y.mean())
    return {
        "predicted": predicted,
        "observed": observed,
        "ratio": predicted / observed if observed else float("inf"),
        "ece": float(gap),
    }


def _check(rate: float) -> None:
    if not 0 < rate <= 1:
        raise ValueError(f"rate: expected above 0 and at most 1, got {rate}")
