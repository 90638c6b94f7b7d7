"""On the device: ranges looked up and laid out by torch, sums and selection by the Triton kernel of pool_items."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.pool_items.gpu import pool_items
from headrace.kernels.two_hop.reference import Items, Seeds, entries, expand, place_in_run, ways


def two_hop(
    users: Tensor, now: Tensor | None, seeds: Seeds, items: Items, limit: int, share: bool, k: int, *, threads: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    request, node, weight, most = ways(users, seeds, items, limit, share, k)
    first, last = items[0][node], items[0][node + 1]
    if items[3] is not None and now is not None:
        first = _first_by(items[3], first, last, now[request])
    # Only what counts is laid out: a list may be far longer than what its seed gives.
    edge, way = expand(first, torch.minimum(last, first + most.clamp_max(len(items[1]))))
    bounds, item, worth = entries(request, weight, way, edge, place_in_run(way) + 1, items, len(users))
    return pool_items(bounds, item, worth, [max(len(item), 1)], 0.0, k)[:3]


def _first_by(time: Tensor, first: Tensor, last: Tensor, now: Tensor) -> Tensor:
    """int64 [n]: the first of time[first:last], which falls, that is `now` or before; `last` where none is."""
    if not len(time):
        return first
    low, high = first, last
    for _ in range(len(time).bit_length()):
        middle = torch.div(low + high, 2, rounding_mode="floor")
        later = (low < high) & (time[middle.clamp_max(len(time) - 1)] > now)
        low, high = torch.where(later, middle + 1, low), torch.where(later | (low >= high), high, middle)
    return low
