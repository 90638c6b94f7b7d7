"""The definition, in plain torch: all ways from users to items as one list, then pooled."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.pool_items import reference as pooling

#: offsets int64 [nodes+1], target int64 [nnz], weight float32 [nnz].
Seeds = tuple[Tensor, Tensor, Tensor]
#: offsets int64 [nodes+1], target int64 [nnz], weight float32 [nnz] or None, time int64 [nnz] or None.
Items = tuple[Tensor, Tensor, Tensor | None, Tensor | None]


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
    edge, way = expand(item_offsets[node], item_offsets[node + 1])
    if item_time is not None and now is not None:
        there = item_time[edge] <= now[request[way]]
        edge, way = edge[there], way[there]
    rank = place_in_run(way) + 1
    within = rank <= most[way]
    bounds, found, worth = entries(request, weight, way[within], edge[within], rank[within], items, len(users))
    return pooling.pool_items(bounds, found, worth, [max(len(found), 1)], 0.0, k, ranks=False)[:3]


def ways(
    users: Tensor, seeds: Seeds, items: Items, limit: int, share: bool, k: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The seeds of all users: request, node int64 [n], weight float64 [n], and int64 [n], how many items each gives.

    Raises ValueError for a user or a node out of range, or, with `share`, weights that do not add up to more than 0.
    """
    offsets, target, weights = seeds
    _check_range("users", users, -1, len(offsets) - 1)
    known = (users >= 0).nonzero().squeeze(1)
    edge, owner = expand(offsets[users[known]], offsets[users[known] + 1])
    request, node, weight = known[owner], target[edge], weights[edge].double()
    _check_range("seeds.target", node, 0, len(items[0]) - 1)
    most = torch.full_like(node, limit)
    if share:
        # Weights that are whole numbers add up to the same in any order.
        total = torch.zeros(len(users), dtype=torch.float64, device=users.device).index_add_(0, request, weight)
        total = total[request]
        if bool((total <= 0).any()):
            raise ValueError(f"seeds.weight: expected sums above 0, got {float(total.min()):f}")
        part = torch.ceil(k * weight / total).clamp(0, len(items[1]))
        most, weight = most.clamp_max(len(items[1])).minimum(part.long()), weight / total
    return request, node, weight, most


def entries(
    request: Tensor, weight: Tensor, way: Tensor, edge: Tensor, rank: Tensor, items: Items, batch: int
) -> tuple[Tensor, Tensor, Tensor]:
    """What comes to be pooled, request by request: bounds int64 [1, B+1], item int64 [m], worth float64 [m]."""
    worth = weight[way] / rank if items[2] is None else weight[way] * items[2][edge].double()
    counts = torch.bincount(request[way], minlength=batch)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])[None], items[1][edge], worth


def expand(first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """The numbers of all ranges first[i]:last[i], one after the other, and the i of each: int64 [m] both."""
    counts = (last - first).clamp_min(0)
    owner = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    return place_in_run(owner) + first[owner], owner


def place_in_run(owner: Tensor) -> Tensor:
    """int64 [m]: each entry's place, from 0, among those of its owner; owners never fall."""
    return torch.arange(len(owner), device=owner.device) - torch.searchsorted(owner, owner)


def _check_range(name: str, rows: Tensor, low: int, high: int) -> None:
    bad = (rows < low) | (rows >= high)
    if bool(bad.any()):
        words = "rows from -1" if low < 0 else f"{low}"
        raise ValueError(f"{name}: expected {words} to {high - 1}, got {int(rows[bad][0])}")
