"""Content similarity: how close a candidate's content is to what the user engaged with last."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from headrace.jagged import offsets_of
from headrace.kernels.closeness import closeness as closeness_kernel


def compressed(vectors: Tensor, dim: int) -> Tensor:
    """float32 [n, min(dim, d)]: unit vectors of the first principal components of `vectors` (float32 [n, d]).

    A zero vector, or one without any of those components, stays zero.
    """
    centred = vectors.double() - vectors.double().mean(0)
    if vectors.shape[1] > dim:
        _, axes = torch.linalg.eigh(centred.T @ centred)
        centred = centred @ axes[:, -dim:].flip(1)
    return F.normalize(centred, dim=1).float().contiguous()


def closeness(content: Tensor, behaviour: Tensor, request: Tensor | None, item: Tensor) -> Tensor:
    """float32 [n, 2]: the mean and the greatest similarity of each candidate to its request's last engaged items.

    content: float32 [items, d] unit vectors. behaviour: int32 [B, N], item rows + 1, 0 where there is none. request:
    int64 [n] ascending, None: one candidate each. item: int64 [n]. Zero where nothing was engaged with.
    """
    if request is None:
        offsets = torch.arange(len(item) + 1)
    else:
        offsets = offsets_of(torch.bincount(request, minlength=len(behaviour)))
    return closeness_kernel(content, behaviour - 1, offsets, item)
