"""Ragged pools of (request, item, score) entries: group them by item, and keep the best of each request."""

from __future__ import annotations

import torch
from headrace.jagged import gather_rows, offsets_of
from headrace.types import Candidates, Requests
from torch import Tensor


def check_quota(quota: int) -> None:
    if quota < 1:
        raise ValueError(f"quota: expected at least 1, got {quota}")


def check_recall(requests: Requests, quota: int, users: int) -> None:
    """Raises ValueError for a quota below 1 or a user row outside the table of `users` (-1 is an unknown user)."""
    check_quota(quota)
    if len(requests) and (int(requests.user.max()) >= users or int(requests.user.min()) < -1):
        raise ValueError(f"requests.user: expected rows from -1 to {users - 1}, got {requests.user.tolist()[:8]}")


def group_items(request: Tensor, item: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Bring equal (request, item) entries together.

    request, item: int64 [nnz]. Returns (request [m], item [m], order [nnz], group [nnz]): the distinct pairs in
    ascending order, the stable order of entries that lines them up, and the pair that each ordered entry belongs to.
    """
    span = int(item.max()) + 1 if len(item) else 1
    key, order = torch.sort(request * span + item, stable=True)
    new = torch.ones(len(key), dtype=torch.bool, device=key.device)
    torch.ne(key[1:], key[:-1], out=new[1:])
    pair = key[new]
    request = torch.div(pair, span, rounding_mode="floor")
    return request, pair - request * span, order, torch.cumsum(new, 0) - 1


def sum_by_item(request: Tensor, item: Tensor, score: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Add the scores of equal (request, item) entries in their given order: (request [m], item [m], float64 [m])."""
    request, item, order, group = group_items(request, item)
    return request, item, sum_groups(group, score[order].double(), len(item))


def sum_groups(group: Tensor, values: Tensor, groups: int) -> Tensor:
    """float64 [groups]: the sums of `values` (float64 [nnz]) by `group` (int64 [nnz], ascending), added in order."""
    # A segment sum adds in one fixed order on every device, where index_add_ on a GPU doesn't. `unsafe` leaves out the
    # checks of the lengths, which fail on none at all.
    lengths = torch.bincount(group, minlength=groups)
    return torch.segment_reduce(values, "sum", lengths=lengths, unsafe=True)


def best(request: Tensor, score: Tensor, batch: int, quota: int) -> tuple[Tensor, Tensor]:
    """The best `quota` entries of each request, best first, ties to the earlier entry.

    request: int64 [nnz], ascending. score: float32 [nnz], at least 0. Returns (index int64 [m], offsets int64 [B+1]).
    """
    # Floats from 0 up are in the order of their bits, and torch sorts integers by radix, many times faster.
    key = request * (1 << 31) - score.view(torch.int32)
    order = torch.sort(key, stable=True).indices
    counts = torch.bincount(request, minlength=batch)
    index, offsets = gather_rows(offsets_of(counts), torch.arange(batch, device=order.device), quota)
    return order[index], offsets


def candidates(request: Tensor, item: Tensor, score: Tensor, batch: int, quota: int) -> Candidates:
    """What a channel returns: the best `quota` items of each request, from entries ascending by (request, item)."""
    score = score.float()
    index, offsets = best(request, score, batch, quota)
    return Candidates(offsets, item[index], score[index], torch.zeros_like(index))
