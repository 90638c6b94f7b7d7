"""On the device: ranges looked up and laid out by torch, sums and selection by the Triton kernel of pool_items."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.pool_items.gpu import pool_items
from headrace.kernels.two_hop.reference import entries, expand, place_in_run, ways


def two_hop(
    users: Tensor,
    now: Tensor | None,
    seed_offsets: Tensor,
    seed: Tensor,
    seed_weight: Tensor,
    item_offsets: Tensor,
    item: Tensor,
    item_weight: Tensor | None,
    item_time: Tensor | None,
    limit: int,
    share: bool,
    k: int,
    threads: int,
) -> tuple[Tensor, Tensor, Tensor]:
    seeds, items = (seed_offsets, seed, seed_weight), (item_offsets, item, item_weight, item_time)
    request, node, weight, most = ways(users, seeds, items, limit, share, k)
    first, last = item_offsets[node], item_offsets[node + 1]
    if item_time is not None and now is not None:
        first = _first_by(item_time, first, last, now[request])
    # Only what counts is laid out: a list may be far longer than what its seed gives.
    edge, way = expand(first, torch.minimum(last, first + most.clamp_max(len(item))))
    bounds, found, worth = entries(request, weight, way, edge, place_in_run(way) + 1, items, len(users))
    return pool_items(bounds, found, worth, [max(len(found), 1)], 0.0, k, ranks=False)[:3]


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
