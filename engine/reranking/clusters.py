"""Content clusters: a kind of item that no catalogue has, found in the vectors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

_CHUNK = 1 << 14
#: Vectors that the centres are fitted on, for each of them.
_EACH = 64


def content_clusters(vectors: Tensor, count: int = 1000, seed: int = 0, rounds: int = 10) -> Tensor:
    """int32 [N]: the cluster of each vector (float32 [N, d], unit length), 0 to count - 1.

    Spherical k-means on a sample of at most 64 vectors a cluster, from vectors drawn at random; then every vector goes
    to the centre of the highest cosine, ties to the lower cluster. A catalogue of fewer items has as many clusters as
    items. The same vectors and seed give the same clusters. Raises ValueError for count or rounds below 1.
    Source: Dhillon, Modha, "Concept Decompositions for Large Sparse Text Data Using Clustering", 2001.
    """
    for name, value in (("count", count), ("rounds", rounds)):
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    if not len(vectors):
        return torch.zeros(0, dtype=torch.int32)
    generator = torch.Generator().manual_seed(seed)
    sample = vectors[torch.randperm(len(vectors), generator=generator)[: count * _EACH]]
    centres = sample[:count].clone()
    for _ in range(rounds):
        nearest = _nearest(sample, centres)
        total = torch.zeros_like(centres).index_add_(0, nearest, sample)
        # A centre that nothing is nearest to stays where it is.
        centres = torch.where(total.any(1, keepdim=True), normalize(total, dim=1), centres)
    return _nearest(vectors, centres).int()


def _nearest(vectors: Tensor, centres: Tensor) -> Tensor:
    """int64 [n]: the centre of the highest inner product, a slice of the vectors at a time."""
    return torch.cat([(chunk @ centres.T).argmax(1) for chunk in vectors.split(_CHUNK)])
