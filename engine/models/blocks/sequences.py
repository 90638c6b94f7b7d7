"""What a request's behaviour sequence says: on the whole, and of a candidate."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.models.blocks.leaf import leaf


@leaf
def mean_of_sequence(sequence: Tensor, present: Tensor) -> Tensor:
    """The mean of the present vectors: [n, L, d] and bool [n, L] -> [n, d]; zero where there are none."""
    weight = present.to(sequence.dtype)
    total = torch.bmm(weight[:, None], sequence)[:, 0]
    return total / weight.sum(1, keepdim=True).clamp_min(1)


@leaf
def attend(sequence: Tensor, present: Tensor, query: Tensor) -> Tensor:
    """Target attention: the softmax-weighted mean of the present vectors by dot over sqrt d (Zhou et al., KDD 2018).

    sequence [n, L, d], present bool [n, L], query [n, d] -> [n, d]; zero where the sequence is empty.
    """
    logits = torch.bmm(sequence, query[:, :, None])[:, :, 0] * query.shape[1] ** -0.5
    weight = torch.softmax(logits.masked_fill(~present, -1e9), 1) * present
    return torch.bmm(weight[:, None], sequence)[:, 0]
