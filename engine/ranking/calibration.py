"""Calibration of probabilities learnt on down-sampled negatives (He et al., ADKDD 2014)."""

from __future__ import annotations

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


def _check(rate: float) -> None:
    if not 0 < rate <= 1:
        raise ValueError(f"rate: expected above 0 and at most 1, got {rate}")
