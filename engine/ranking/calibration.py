"""Calibration of probabilities learnt on down-sampled negatives (He et al., ADKDD 2014)."""

from __future__ import annotations

from torch import Tensor


def calibrate_logits(logits: Tensor, rates: Tensor) -> Tensor:
    """logit(p) = logit(q) + ln(rate): exactly the paper's p = rate q / ((1 - q) + rate q), of the probability q that a
    model trained on the share `rate` of the negatives gives. logits [..., T], rates float [T]."""
    return logits + rates.log().to(logits.dtype)
