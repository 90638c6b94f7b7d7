"""Locality-sensitive hashes: the nearer two vectors are, the likelier they share one."""

from __future__ import annotations

import torch
from torch import Tensor


def hyperplane_hash(vectors: Tensor, normals: Tensor) -> Tensor:
    """int64 [..., m]: on which side of each hyperplane through the origin, 0 or 1 (Charikar 2002).

    vectors: [..., d]. normals: [d, m], of normal draws.
    """
    return (vectors.double() @ normals >= 0).long()


def stable_hash(vectors: Tensor, directions: Tensor, offsets: Tensor, width: float) -> Tensor:
    """int64 [..., m]: the bucket along each direction, floor((x.v + b) / w) (Datar et al. 2004).

    vectors: [..., d]. directions: [d, m], of normal draws. offsets: [m], uniform in [0, width).
    """
    return ((vectors.double() @ directions + offsets) / width).floor().long()


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
