"""The definition, in plain torch and float64, candidates padded to the longest list."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.checks import check_offsets

_REQUESTS = 1 << 12


def closeness(content: Tensor, recent: Tensor, offsets: Tensor, item: Tensor, threads: int = 0) -> Tensor:
    check_input(content, recent, offsets, item)
    if len(item) == 0:
        return content.new_zeros(0, 2)
    parts = []
    for first in range(0, len(recent), _REQUESTS):
        bounds = offsets[first : first + _REQUESTS + 1]
        parts.append(
            _padded(content, recent[first : first + _REQUESTS], bounds.diff(), item[int(bounds[0]) : int(bounds[-1])])
        )
    out = torch.cat(parts)
    if not bool(torch.isfinite(out).all()):
        raise ValueError("content: expected finite numbers and products, got NaN or infinity")
    return out


def _padded(content: Tensor, recent: Tensor, counts: Tensor, item: Tensor) -> Tensor:
    place = torch.arange(int(counts.max()), device=item.device) < counts[:, None]
    asked = torch.zeros(place.shape, dtype=torch.int64, device=item.device)
    asked[place] = item
    there = recent >= 0
    vectors = content[recent.clamp_min(0).long()].double() * there[:, :, None]
    similar = content[asked].double() @ vectors.transpose(1, 2)
    mean = similar.sum(2) / there.sum(1, keepdim=True).clamp_min(1)
    highest = similar.masked_fill(~there[:, None], -torch.inf)
    most = highest.amax(2) if recent.shape[1] else torch.zeros_like(mean)
    most = torch.where(there.any(1, keepdim=True), most, 0.0)
    return torch.stack([mean, most], 2)[place].float()


def check_input(content: Tensor, recent: Tensor, offsets: Tensor, item: Tensor) -> None:
    """Raises ValueError for rows outside content, or offsets that do not rise from 0 to n."""
    check_offsets("offsets", offsets, item.shape[0])
    for name, rows, least in (("recent", recent[offsets.diff() > 0], -1), ("item", item, 0)):
        outside = (rows < least) | (rows >= len(content))
        if bool(outside.any()):
            raise ValueError(f"{name}: expected {least} to {len(content) - 1}, got {int(rows[outside][0])}")
