"""The merge of what all channels found: one list of distinct items for each request."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from headrace.jagged import offsets_of
from headrace.retrieval.pool import best, group_items
from headrace.types import Candidates

#: The constant of reciprocal rank fusion; the larger, the less the first few ranks stand out.
_RANK_OFFSET = 60
#: One bit each in an int64.
_MOST_CHANNELS = 63
#: Splits an int64 into two numbers.
_HIGH = 1 << 32


def merge(found: Sequence[Candidates], quotas: Sequence[int], total: int) -> Candidates:
    """The distinct items of all channels, at most `total` for each request, best first, ties to the lower item.

    found: what each channel recalled for the same B requests, best first. quotas: how many of each channel's first to
    take. The score is free of the channels' scales: the sum over the channels of 1 / (60 + rank), rank from 1
    (reciprocal rank fusion; Cormack, Clarke, Büttcher, SIGIR 2009), added in float64 in the order of the channels,
    rounded to float32. `channels` has bit c set where found[c] gave the item. Columns of the channels are dropped.
    Raises ValueError for no channel or more than 63, batches that differ, quotas or a total below 1, or a channel that
    gives an item twice in a request.
    """
    _check(found, quotas, total)
    batch = found[0].batch
    request, item, rank, channel = _first(found, quotas)
    groups = group_items(request, item, batch)
    # One gather moves both, the channel above and the rank below.
    code = (channel * _HIGH + rank).index_select(0, groups.order)
    channel = torch.div(code, _HIGH, rounding_mode="floor")
    _check_repeats(groups.group, channel)
    bit = (1 << torch.arange(len(found), device=item.device)).index_select(0, channel)
    bits = torch.zeros_like(groups.item).index_add_(0, groups.group, bit)
    score = groups.sum(1.0 / (_RANK_OFFSET + code - channel * _HIGH).double()).float()
    kept, offsets = best(groups.request, score, batch, total)
    item, score, bits = (column.index_select(0, kept) for column in (groups.item, score, bits))
    return Candidates(offsets, item, score, bits)


def _first(found: Sequence[Candidates], quotas: Sequence[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(request, item, rank from 1, channel) of each channel's first items, int64 [nnz] each, channel by channel."""
    counts = torch.stack([part.counts for part in found])
    item = torch.cat([part.item for part in found])
    device = item.device
    batch = counts.shape[1]
    limits = torch.tensor(quotas, device=device)[:, None]
    start = offsets_of(counts.flatten())
    taken = torch.minimum(counts, limits).flatten()
    offsets = offsets_of(taken)
    rank = torch.arange(1, int(offsets[-1]) + 1, device=device) - torch.repeat_interleave(offsets[:-1], taken)
    if int(offsets[-1]) < len(item):
        item = item.index_select(0, torch.repeat_interleave(start[:-1] - 1, taken) + rank)
    request = torch.repeat_interleave(torch.arange(batch, device=device).repeat(len(found)), taken)
    channel = torch.repeat_interleave(torch.arange(len(found), device=device), taken.view(len(found), batch).sum(1))
    return request, item, rank, channel


def _check_repeats(group: Tensor, channel: Tensor) -> None:
    repeated = (group[1:] == group[:-1]) & (channel[1:] == channel[:-1])
    if bool(repeated.any()):
        culprit = int(channel[1:][repeated][0])
        raise ValueError(f"found[{culprit}]: expected each item once in a request, got one twice")


def _check(found: Sequence[Candidates], quotas: Sequence[int], total: int) -> None:
    if not 1 <= len(found) <= _MOST_CHANNELS:
        raise ValueError(f"found: expected 1 to {_MOST_CHANNELS} channels, got {len(found)}")
    if len(quotas) != len(found):
        raise ValueError(f"quotas: expected one for each of {len(found)} channels, got {len(quotas)}")
    if min(quotas) < 1:
        raise ValueError(f"quotas: expected at least 1 each, got {list(quotas)}")
    if total < 1:
        raise ValueError(f"total: expected at least 1, got {total}")
    batches = [part.batch for part in found]
    if len(set(batches)) > 1:
        raise ValueError(f"found: expected one batch size, got {batches}")
