"""Mixtures of experts."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.models.blocks.leaf import leaf


@leaf
def mix(gates: Tensor, vectors: Tensor) -> Tensor:
    """Sums of E vectors under each of T gates: [n, T, E] and [n, E, H] -> [n, T, H]."""
    return torch.bmm(gates, vectors)


def gate_dropout(gates: Tensor, probability: float) -> Tensor:
    """Masks each gate weight ([..., E], summing to 1) with `probability`, then scales the rest to sum to 1.

    Where all would be masked none is. It keeps gates from leaning on one expert (Zhao et al., RecSys 2019).
    """
    kept = torch.rand_like(gates) >= probability
    kept = kept | ~kept.any(-1, keepdim=True)
    masked = gates * kept
    return masked / masked.sum(-1, keepdim=True).clamp_min(1e-9)
