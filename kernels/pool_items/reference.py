"""The definition, in plain torch: sort the entries by (request, item), add up each run, sort the sums."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from headrace.kernels.segment_topk import reference as selection


class Entries(NamedTuple):
    """The entries that count, list by list: request, item, list, rank int64 [n], worth float64 [n]."""

    request: Tensor
    item: Tensor
    list: Tensor
    rank: Tensor
    worth: Tensor


class Groups(NamedTuple):
    """Entries brought together by (request, item): m groups in ascending order of both.

    request, item, length: int64 [m], the pair and how many entries it has. order, group: int64 [nnz], the stable order
    of entries that lines the groups up, and the group that each ordered entry belongs to.
    """

    request: Tensor
    item: Tensor
    length: Tensor
    order: Tensor
    group: Tensor

    def sum(self, values: Tensor) -> Tensor:
        """float64 [m]: the sums of ordered `values` (float64 [nnz]), added in their order."""
        # A segment sum adds in one fixed order on every device, where index_add_ on a GPU doesn't. `unsafe` leaves out
        # the checks of the lengths, which fail on none at all.
        return torch.segment_reduce(values, "sum", lengths=self.length, unsafe=True)


def group_items(request: Tensor, item: Tensor, batch: int) -> Groups:
    """Group entries (int64 [nnz] each, requests below `batch`, items from 0)."""
    span = int(item.max()) + 1 if len(item) else 1
    key = request * span + item
    # torch sorts integers by radix, and short ones in half the time.
    key, order = torch.sort(key.int() if batch * span < 1 << 31 else key, stable=True)
    pair, group, length = torch.unique_consecutive(key, return_inverse=True, return_counts=True)
    request = torch.div(pair, span, rounding_mode="floor")
    return Groups(request.long(), (pair - request * span).long(), length, order, group)


def entries(offsets: Tensor, item: Tensor, score: Tensor | None, limits: list[int], constant: float) -> Entries:
    """Raises ValueError for offsets that fall or leave the items."""
    falls = (offsets[:, 1:] < offsets[:, :-1]).any(1) | (offsets[:, 0] < 0) | (offsets[:, -1] > len(item))
    if bool(falls.any()):
        raise ValueError(f"offsets: expected list {int(falls.nonzero()[0])} to rise within 0 to {len(item)}")
    lists, batch = offsets.shape[0], offsets.shape[1] - 1
    counts = torch.minimum(offsets.diff(dim=1), torch.tensor(limits, device=item.device)[:, None]).flatten()
    starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])[:-1]
    owner = torch.repeat_interleave(torch.arange(len(counts), device=item.device), counts)
    place = torch.arange(len(owner), device=item.device) - starts[owner]
    index = offsets[:, :-1].flatten()[owner] + place
    worth = 1.0 / (constant + 1 + place.double()) if score is None else score[index]
    lists_of = torch.arange(lists, device=item.device).repeat_interleave(batch)
    return Entries(owner % max(batch, 1), item[index], lists_of[owner], place, worth)


def pool_items(
    offsets: Tensor,
    item: Tensor,
    score: Tensor | None,
    limits: list[int],
    constant: float,
    k: int,
    ranks: bool,
    threads: int = 0,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    batch = offsets.shape[1] - 1
    found = entries(offsets, item, score, limits, constant)
    # Items may be any integers; their order is that of their ranks.
    values, rank = torch.unique(found.item, return_inverse=True)
    groups = group_items(found.request, rank, batch)
    group, lists = groups.group, found.list[groups.order]
    check_repeats(group, lists, score)
    first = torch.ones_like(group, dtype=torch.bool)
    first[1:] = (group[1:] != group[:-1]) | (lists[1:] != lists[:-1])
    bits = torch.zeros_like(groups.item).index_add_(0, group[first], 1 << lists[first])
    total = groups.sum(found.worth[groups.order]).float()
    rank = ranks_of(groups, found, offsets.shape[0]) if ranks else bits.new_zeros((0, offsets.shape[0])).int()
    return select(groups.request, values[groups.item], total, bits, rank, batch, k)


def ranks_of(groups: Groups, found: Entries, lists: int) -> Tensor:
    """int32 [m, L]: the rank of each group's item in every list, from 1, 0 where it is not."""
    missing = torch.iinfo(torch.int32).max
    rank = torch.full((len(groups.item) * lists,), missing, dtype=torch.int32, device=found.item.device)
    cell = groups.group * lists + found.list[groups.order]
    rank.scatter_reduce_(0, cell, found.rank[groups.order].int() + 1, "amin")
    return rank.masked_fill_(rank == missing, 0).view(-1, lists)


def check_repeats(group: Tensor, lists: Tensor, score: Tensor | None) -> None:
    """Raises ValueError when a list without scores has an item twice."""
    again = (group[1:] == group[:-1]) & (lists[1:] == lists[:-1])
    if score is None and bool(again.any()):
        raise ValueError(f"item: expected each once in a list, got one twice in list {int(lists[1:][again].min())}")


def select(
    request: Tensor, item: Tensor, total: Tensor, bits: Tensor, rank: Tensor, batch: int, k: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The best k of each request, from groups in its order."""
    if bool(total.isnan().any()):
        raise ValueError("score: expected numbers, got NaN")
    offsets = torch.cat([request.new_zeros(1), torch.bincount(request, minlength=batch).cumsum(0)])
    index, kept = selection.segment_topk(offsets, total, item, k)
    return kept, item[index], total[index], bits[index], rank[index] if len(rank) else rank
