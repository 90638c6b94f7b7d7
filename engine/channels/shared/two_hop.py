"""What the channels share that recall in two hops: user to seeds, seed to items, equal items added up."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.two_hop import Edges, two_hop
from headrace.types import Candidates, Requests


def check_quota(quota: int) -> None:
    if quota < 1:
        raise ValueError(f"quota: expected at least 1, got {quota}")


def recall_in_two_hops(
    requests: Requests,
    quota: int,
    seeds: Edges,
    items: Edges,
    limit: int | None = None,
    share: bool = False,
    now: Tensor | None = None,
) -> Candidates:
    """What a channel returns: the `quota` items with the highest sums, best first (see `two_hop`).

    Raises ValueError for a quota below 1 or a user row outside the table (-1 is an unknown user).
    """
    check_quota(quota)
    try:
        offsets, item, score = two_hop(requests.user, seeds, items, quota, limit=limit, share=share, now=now)
    except ValueError:
        check_users(requests, seeds.nodes)
        raise
    return Candidates(offsets, item, score, torch.zeros_like(item))


def check_users(requests: Requests, users: int) -> None:
    """Raises ValueError for a user row outside the table (-1 is an unknown user)."""
    if len(requests) and (int(requests.user.max()) >= users or int(requests.user.min()) < -1):
        raise ValueError(f"requests.user: expected rows from -1 to {users - 1}, got {requests.user.tolist()[:8]}")
