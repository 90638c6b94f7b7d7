"""Ragged pools of (request, item, score) entries: add up equal items, and keep the best of each request."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.pool_items import pool_items
from headrace.types import Candidates, Requests


def check_quota(quota: int) -> None:
    if quota < 1:
        raise ValueError(f"quota: expected at least 1, got {quota}")


def check_recall(requests: Requests, quota: int, users: int) -> None:
    """Raises ValueError for a quota below 1 or a user row outside the table of `users` (-1 is an unknown user)."""
    check_quota(quota)
    if len(requests) and (int(requests.user.max()) >= users or int(requests.user.min()) < -1):
        raise ValueError(f"requests.user: expected rows from -1 to {users - 1}, got {requests.user.tolist()[:8]}")


def candidates(offsets: Tensor, item: Tensor, score: Tensor, quota: int) -> Candidates:
    """What a channel returns: the `quota` items of each request with the highest sums of scores, best first.

    Request b owns entries offsets[b]:offsets[b+1] of item (int64 [nnz]) and score (float [nnz]). Equal items are added
    up in float64 in their given order; ties go to the lower item.
    """
    kept, item, total, lists = pool_items(offsets[None], item, quota, score=score.double())
    return Candidates(kept, item, total, torch.zeros_like(lists))
