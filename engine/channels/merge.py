"""The merge of what all channels found: one list of distinct items for each request."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch

from headrace.channels.evidence import RANK
from headrace.kernels.pool_items import pool_items
from headrace.types import FILL, Candidates

#: The constant of reciprocal rank fusion; the larger, the less the first few ranks stand out.
_RANK_OFFSET = 60
#: One bit each in an int64, below that of the last resort.
_MOST_CHANNELS = FILL


def merge(found: Sequence[Candidates], quotas: Sequence[int], total: int) -> Candidates:
    """The distinct items of all channels, at most `total` for each request, best first, ties to the lower item.

    found: what each channel recalled for the same B requests, best first. quotas: how many of each channel's first to
    take. The score is free of the channels' scales: the sum over the channels of 1 / (60 + rank), rank from 1
    (reciprocal rank fusion; Cormack, Clarke, Büttcher, SIGIR 2009), added in float64 in the order of the channels,
    rounded to float32. `channels` has bit c set where found[c] gave the item, and the column `RANK` (of
    headrace.channels.evidence) its rank there. Columns of the channels are dropped.
    Raises ValueError for no channel or more than 62, batches that differ, quotas or a total below 1, or a channel that
    gives an item twice in a request.
    """
    _check(found, quotas, total)
    item = torch.cat([part.item for part in found])
    # One table of where each channel's lists begin and end in the joined items.
    starts = [0, *accumulate(len(part) for part in found[:-1])]
    bounds = torch.stack([part.offsets for part in found]) + torch.tensor(starts, device=item.device)[:, None]
    try:
        offsets, item, score, channels, rank = pool_items(
            bounds, item, total, limits=quotas, constant=_RANK_OFFSET, ranks=True
        )
    except ValueError:
        _check_repeats(found)
        raise
    return Candidates(offsets, item, score, channels, {RANK: rank})


def _check_repeats(found: Sequence[Candidates]) -> None:
    for channel, part in enumerate(found):
        if len(torch.unique(torch.stack([part.request, part.item]), dim=1).T) < len(part):
            raise ValueError(f"found[{channel}]: expected each item once in a request, got one twice")


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
