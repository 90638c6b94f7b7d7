"""Recall in two hops: user to seeds, seed to items (U2X2I), equal items added up, the best of each request kept."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.checks import check_count, check_tensor
from headrace.kernels.edge import IDS, takes
from headrace.kernels.registry import Op
from headrace.kernels.two_hop.edges import Edges

__all__ = ["Edges", "two_hop"]

_MOST = 1 << 62
OP = Op("two_hop", __name__, "users to seeds to items, the best of each request", ("scalar",))


@takes(users=IDS, now=IDS)
def two_hop(
    users: Tensor,
    seeds: Edges,
    items: Edges,
    k: int,
    *,
    limit: int | None = None,
    share: bool = False,
    now: Tensor | None = None,
    backend: str = "auto",
    threads: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """The best `k` items that each user's seeds lead to, best first, ties to the lower item.

    users: int64 [B], nodes of `seeds`, -1 has none. seeds: what each user leads to, with weights; its targets are nodes
    of `items`. An item is worth, for each way to it, the product of both weights, added up in float64 seed by seed and
    rounded to float32 (item-based recommendation; Sarwar, Karypis, Konstan, Riedl, WWW 2001; or, over a user's
    categories or authors, user to X to item).
    limit: each seed gives its first so many items (None: all). share: a seed's weight is its part of the user's whole
    weight, and it gives at most that part of `k`, rounded up. now: int64 [B]; needed where items.time is given: a
    request sees items of its time or before, and the first of these has rank 1.
    Returns offsets int64 [B+1], item int64 [m], score float32 [m]. The native answer is the same for every number of
    threads.
    Raises ValueError for users or seeds out of range, k or limit below 1, with `share` a user whose weights do not add
    up to more than 0, wrong shapes or devices; TypeError for wrong types.
    """
    device = items.target.device
    check_tensor("users", users, dtype=torch.int64, ndim=1, device=device)
    check_count("k", k)
    if not isinstance(share, bool):
        raise TypeError(f"share: expected a bool, got {type(share).__name__}")
    if limit is not None:
        check_count("limit", limit)
    if seeds.weight is None:
        raise ValueError("seeds.weight: expected weights, got None")
    if seeds.target.device != device:
        raise ValueError(f"seeds: expected tensors on {device}, got {seeds.target.device}")
    if items.time is None:
        now = None
    elif now is None:
        raise ValueError("now: expected the times of the requests, since items have times, got None")
    else:
        check_tensor("now", now, dtype=torch.int64, ndim=1, device=device)
        if now.shape != users.shape:
            raise ValueError(f"now: expected {users.shape[0]} entries, one for each user, got {now.shape[0]}")
        now = now.contiguous()
    return OP(  # type: ignore[no-any-return]
        users.contiguous(),
        now,
        *(seeds.offsets, seeds.target, seeds.weight),
        *(items.offsets, items.target, items.weight, items.time),
        *(_MOST if limit is None else min(limit, _MOST), share, min(k, 1 << 30)),
        backend=backend,
        threads=threads,
    )


def _fake(users: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    found = torch.library.get_ctx().new_dynamic_size()
    kept = users.new_empty(users.shape[0] + 1)
    return kept, users.new_empty(found), users.new_empty(found, dtype=torch.float32)


OP.register(
    "(Tensor users, Tensor? now, Tensor seed_offsets, Tensor seed, Tensor seed_weight, Tensor item_offsets,"
    " Tensor item, Tensor? item_weight, Tensor? item_time, int limit, bool share, int k) -> (Tensor, Tensor, Tensor)",
    "users int64 B, now int64 B, seed_offsets int64 nodes+1, seed int64 s, seed_weight float32 s,"
    " item_offsets int64 sources+1, item int64 n, item_weight float32 n, item_time int64 n",
    _fake,
)
