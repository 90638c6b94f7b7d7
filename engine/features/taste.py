"""Content similarity: how close a candidate's content is to what the user engaged with last."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from headrace.features.behaviours import Behaviours

_MANY = 1 << 14


def compressed(vectors: Tensor, dim: int) -> Tensor:
    """float32 [n, min(dim, d)]: unit vectors of the first principal components of `vectors` (float32 [n, d]).

    A zero vector, or one without any of those components, stays zero.
    """
    centred = vectors.double() - vectors.double().mean(0)
    if vectors.shape[1] > dim:
        _, axes = torch.linalg.eigh(centred.T @ centred)
        centred = centred @ axes[:, -dim:].flip(1)
    return F.normalize(centred, dim=1).float().contiguous()


def profiles(behaviours: Behaviours, content: Tensor, user: Tensor, time: Tensor, n: int) -> Tensor:
    """float32 [q, d]: the mean content of the last `n` engaged items of `user` before `time` (int64 [q])."""
    if len(user) >= _MANY:
        # Training asks for the same user at the same refresh many times over.
        pairs, place = torch.unique(torch.stack([user, time], 1), dim=0, return_inverse=True)
        parts = [profiles(behaviours, content, part[:, 0], part[:, 1], n) for part in torch.split(pairs, _MANY - 1)]
        return torch.cat(parts)[place]
    items = behaviours.last(user, time, n)
    present = items > 0
    weight = present.float() / present.sum(1, keepdim=True).clamp_min(1)
    return F.embedding_bag(items.clamp_min(1) - 1, content, mode="sum", per_sample_weights=weight)
