"""Recall of what may be shown: channels bring their quotas of it, and a last resort what is still missing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from headrace.channels import Channel
from headrace.exposure.bars import Bars
from headrace.jagged import gather_rows, offsets_of
from headrace.types import FILL, Candidates, Requests

#: A channel is asked for a quarter of its quota more, at most so many, and bars take less than that of most lists.
_SLACK, _MOST_SLACK = 4, 96
#: Lists that are short for all that are asked for anew, twice as long each time, up to so many quotas.
_DEEPEST = 8
#: Lists are asked for anew no longer than this, as deep as the searches go.
_WIDEST = 1 << 16
#: Pairs that the last resort looks at in a round, at least and at most.
_FIRST, _MOST = 512, 1 << 22


def asked(quota: int) -> int:
    """How many items a channel of that quota is asked for at first. It depends on nothing else, so that what a request
    gets doesn't depend on its batch, also where a longer list of a channel doesn't begin with the shorter one."""
    return quota + min(-(-quota // _SLACK), _MOST_SLACK)


def sift(
    requests: Requests, channels: Sequence[Channel], quotas: Sequence[int], found: Sequence[Candidates], bars: Bars
) -> tuple[list[Candidates], list[Candidates]]:
    """(what each channel found that may be shown, its quota and maybe more; all that it found, with the column "why").

    found: what each channel gave for `asked(quota)`. A list that could have filled its quota, had the bars not taken
    more of it than was asked for beyond, is asked for anew, deeper, until it is full, grows no more or is deep enough.
    """
    lists = _joined(found)
    every = torch.arange(len(requests)).repeat(len(found))
    lists = lists.with_score(lists.score, why=bars.why(requests, every, lists.offsets, lists.item))
    limit, beyond = (
        torch.tensor([[quota, asked(quota) - quota] for quota in quotas]).repeat_interleave(len(requests), 0).T
    )
    (free, first), counts = _free(lists), lists.counts
    kept = first.diff()
    short = (kept < limit) & (counts >= limit) & (counts - kept > beyond)
    parts = _split(lists, len(found))
    if bool(short.any()):
        for c, rows in enumerate(short.view(len(found), -1)):
            again = rows.nonzero().squeeze(1)
            deepest = min(_DEEPEST * quotas[c], _WIDEST)
            parts[c] = _deeper(requests, channels[c], quotas[c], parts[c], again, bars, deepest)
        lists = _joined(parts)
        free, first = _free(lists)
    item, score = lists.item.index_select(0, free), lists.score.index_select(0, free)
    return _split(Candidates(first, item, score, _no_channels(item)), len(found)), parts


def alone(requests: Requests, channel: Channel, k: int, bars: Bars) -> Candidates:
    """What one channel would show by itself: its first `k` for each request that may be shown.

    A list is shorter only where the channel knows no more, or bars take nearly all of `_WIDEST` items that it gave.
    """
    found = bars.marked(requests, channel.recall(requests, asked(k)))
    short = (_free(found)[1].diff() < k) & (found.counts >= asked(k))
    deepest = min(len(bars.stock), _WIDEST)
    found = _deeper(requests, channel, k, found, short.nonzero().squeeze(1), bars, deepest)
    return cut(found.keep(found.columns["why"] == 0), k)


def cut(lists: Candidates, quota: int) -> Candidates:
    """The first `quota` of each list."""
    return lists.take(*gather_rows(lists.offsets, torch.arange(lists.batch), quota))


def fill(
    requests: Requests, candidates: Candidates, missing: Tensor, bars: Bars, barred: Tensor | None = None
) -> Candidates:
    """`candidates` with items of the whole stock after them, under score 0, where a request misses some.

    missing: int64 [B], how many; a request gets as many as there are that may be shown and aren't among its candidates,
    in the stock's order. barred: bool [N], items that nobody gets.
    """
    rows = (missing > 0).nonzero().squeeze(1)
    order = bars.stock.order if barred is None else bars.stock.order[~barred[bars.stock.order]]
    if not len(rows) or not len(order):
        return candidates
    items, left = len(bars.stock), missing.clone()
    had = candidates.request * items + candidates.item
    added, start, width = [had[:0]], 0, _FIRST
    while len(rows) and start < len(order):
        width = max(1, min(width, _MOST // len(rows)))
        part = order[start : start + width]
        offsets = torch.arange(len(rows) + 1) * len(part)
        pairs = (rows[:, None] * items + part).flatten()
        free = bars.why(requests, rows, offsets, part.repeat(len(rows))) == 0
        free &= ~torch.isin(pairs, had, assume_unique=True)
        place = free.view(len(rows), -1).cumsum(1)
        taken = free.view(len(rows), -1) & (place <= left[rows, None])
        added.append(pairs[taken.flatten()])
        left[rows] -= taken.sum(1)
        rows = rows[left[rows] > 0]
        start, width = start + len(part), 2 * width
    pairs = torch.cat(added)
    # Rounds come one after the other: by request they are to be grouped, and stay in their order.
    request = torch.cat([candidates.request, pairs // items])
    by_request = torch.argsort(request, stable=True)
    item = torch.cat([candidates.item, pairs % items])
    score = torch.cat([candidates.score, torch.zeros(len(pairs), dtype=torch.float32)])
    channels = torch.cat([candidates.channels, torch.full((len(pairs),), 1 << FILL)])
    offsets = offsets_of(torch.bincount(request, minlength=len(requests)))
    # No channel says anything of what the last resort adds.
    columns = {
        name: torch.cat([part, part.new_zeros(len(pairs), *part.shape[1:])])[by_request]
        for name, part in candidates.columns.items()
    }
    return Candidates(offsets, item[by_request], score[by_request], channels[by_request], columns)


def _deeper(
    requests: Requests, channel: Channel, quota: int, found: Candidates, rows: Tensor, bars: Bars, deepest: int
) -> Candidates:
    """`found` with the lists of the requests `rows` (int64 [m]) asked for anew, until `deepest` were asked for."""
    depth = asked(quota)
    while len(rows) and depth < deepest:
        depth = min(2 * depth, _WIDEST)
        some = requests.take(rows)
        longer = bars.marked(some, channel.recall(some, depth))
        grown = longer.counts > found.counts[rows]
        found = _replaced(found, rows, longer)
        rows = rows[grown & (_free(longer)[1].diff() < quota)]
    return found


def _free(lists: Candidates) -> tuple[Tensor, Tensor]:
    """(int64 [m], the entries that may be shown; int64 [L+1], the first of each list among them)."""
    free = (lists.columns["why"] == 0).nonzero().squeeze(1)
    return free, torch.searchsorted(free, lists.offsets)


def _joined(found: Sequence[Candidates]) -> Candidates:
    """The lists of all channels, one after the other, as of one batch; columns: those of the first."""
    counts = torch.cat([part.counts for part in found])
    columns = {name: torch.cat([part.columns[name] for part in found]) for name in found[0].columns}
    item, score = torch.cat([part.item for part in found]), torch.cat([part.score for part in found])
    return Candidates(offsets_of(counts), item, score, _no_channels(item), columns)


def _no_channels(item: Tensor) -> Tensor:
    # One zero in every place, which takes no memory: such a batch is as large as a cache.
    return item.new_zeros(()).expand(len(item))


def _split(lists: Candidates, count: int) -> list[Candidates]:
    """Undoes `_joined`."""
    batch = lists.batch // count
    bounds = lists.offsets[::batch].tolist() if batch else [0] * (count + 1)
    return [
        Candidates(
            lists.offsets[c * batch : (c + 1) * batch + 1] - a,
            lists.item[a:b],
            lists.score[a:b],
            lists.channels[a:b],
            {name: column[a:b] for name, column in lists.columns.items()},
        )
        for c, (a, b) in enumerate(pairwise(bounds))
    ]


def _replaced(found: Candidates, rows: Tensor, longer: Candidates) -> Candidates:
    """`found` with list i of `longer` in the place of list rows[i]."""
    both = _joined([found, longer])
    source = torch.arange(found.batch)
    source[rows] = found.batch + torch.arange(len(rows))
    return both.take(*gather_rows(both.offsets, source))
