"""Content similarity: how close a candidate's content is to what the user engaged with last."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from headrace.jagged import offsets_of

_CHUNK = 1 << 15


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
        parts = zip(torch.split(behaviour, _CHUNK), torch.split(item, _CHUNK), strict=True)
        return torch.cat([_padded(content, some, each[:, None])[:, 0] for some, each in parts])
    counts = torch.bincount(request, minlength=len(behaviour))
    longest = int(counts.max()) if len(item) else 1
    place = request * longest + torch.arange(len(item)) - offsets_of(counts).index_select(0, request)
    table = torch.zeros(len(behaviour), longest, dtype=torch.int64)
    table.view(-1)[place] = item
    return _padded(content, behaviour, table).flatten(0, 1).index_select(0, place)


def _padded(content: Tensor, behaviour: Tensor, item: Tensor) -> Tensor:
    """`closeness` for as many candidates of each request: item int64 [B, c] -> float32 [B, c, 2]."""
    recent = content.index_select(0, behaviour.clamp_min(1).flatten() - 1).view(*behaviour.shape, content.shape[1])
    asked = content.index_select(0, item.flatten()).view(*item.shape, content.shape[1])
    present = behaviour > 0
    similar = torch.bmm(asked, recent.transpose(1, 2)) * present[:, None]
    mean = similar.sum(2) / present.sum(1, keepdim=True).clamp_min(1)
    highest = similar.masked_fill(~present[:, None], -1).amax(2)
    return torch.stack([mean, highest * present.any(1, keepdim=True)], 2)
