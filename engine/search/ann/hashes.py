"""Locality-sensitive hashes: the chance that two vectors share one is known from how near they are."""

from __future__ import annotations

import torch
from torch import Tensor


def hyperplane_hash(vectors: Tensor, normals: Tensor) -> Tensor:
    """int64 [..., m]: on which side of each hyperplane through the origin, 0 or 1 (Charikar 2002).

    vectors: [..., d]. normals: [d, m], of normal draws.
    """
    return (vectors.double() @ normals >= 0).long()


def hyperplane_collision(cosine: Tensor) -> Tensor:
    """The chance that two vectors of this cosine lie on one side of a random hyperplane: 1 - angle / pi."""
    return 1 - cosine.double().clamp(-1, 1).acos() / torch.pi


def stable_hash(vectors: Tensor, directions: Tensor, offsets: Tensor, width: float) -> Tensor:
    """int64 [..., m]: the bucket along each direction, floor((x.v + b) / w) (Datar et al. 2004).

    vectors: [..., d]. directions: [d, m], of normal draws. offsets: [m], uniform in [0, width).
    """
    return ((vectors.double() @ directions + offsets) / width).floor().long()


def stable_collision(distance: Tensor, width: float) -> Tensor:
    """The chance that two vectors at this Euclidean distance share a `stable_hash`."""
    t = width / distance.double()
    below = torch.special.ndtr(-t)
    tail = 2 / ((2 * torch.pi) ** 0.5 * t) * (1 - torch.exp(-t * t / 2))
    # Equal vectors always share it; the formula has 0/0 there.
    return torch.where(distance > 0, 1 - 2 * below - tail, 1.0)


def found_chance(collision: Tensor, n_bits: int, n_tables: int) -> Tensor:
    """The chance of sharing all `n_bits` hashes (AND) in at least one of `n_tables` tables (OR): 1 - (1 - p^b)^t."""
    return 1 - (1 - collision.double() ** n_bits) ** n_tables


def on_sphere(items: Tensor, metric: str) -> Tensor:
    """float64 [N, d] unit vectors whose angle with a query orders them as the metric does ("cosine"), or [N, d+1].

    For "ip" a further coordinate brings every item to the length of the longest (Neyshabur, Srebro 2015); a query has
    0 there. Zero vectors stay zero.
    """
    wide = items.double()
    squared = (wide * wide).sum(1, keepdim=True)
    if metric == "cosine":
        return wide / squared.sqrt().clamp_min(torch.finfo(torch.float64).tiny)
    longest = squared.max().sqrt().clamp_min(torch.finfo(torch.float64).tiny)
    wide = wide / longest
    return torch.cat([wide, (1 - (wide * wide).sum(1, keepdim=True)).clamp_min(0).sqrt()], 1)
