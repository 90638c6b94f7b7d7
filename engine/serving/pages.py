"""From candidates in dense rows to pages in external ids, with reasons on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from headrace.channels import Channel
from headrace.data.ids import IdMap
from headrace.exposure.bars import WHY
from headrace.funnel import Trace
from headrace.jagged import offsets_of
from headrace.types import FILL, Candidates, Page, Requests

#: Columns of the re-ranking that say what the rules did, the same for a whole page.
_RULED = {"overruled": "picks where a rule forbade the best item", "relaxed": "picks where a rule was dropped"}
#: Columns that the reasons give in words instead.
_WORDED = {*_RULED, "broken"}


def pages_of(
    user_ids: Sequence[Any],
    requests: Requests,
    trace: Trace,
    items: IdMap,
    channels: Sequence[Channel],
    rules: Sequence[str],
    reasons: bool,
) -> list[Page]:
    """One page a request. This is the edge where tensors become Python objects, so it walks the batch.

    rules: the names of the re-ranker's rules, for the reasons.
    """
    shown = trace.page
    external = items.external(shown.item.numpy()).tolist()
    scores = shown.score.tolist()
    sources = {place: channel.name for place, channel in enumerate(channels)} | {FILL: "fill"}
    names = [_channel_names(bits, sources) for bits in shown.channels.tolist()]
    known, at = (requests.user >= 0).tolist(), requests.time.tolist()
    why = _reasons(trace, items, rules) if reasons else [None] * len(requests)
    bounds = shown.offsets.tolist()
    return [
        Page(user, external[a:b], scores[a:b], names[a:b], known[i], at[i], why[i])
        for i, (user, a, b) in enumerate(zip(user_ids, bounds[:-1], bounds[1:], strict=True))
    ]


def plain_pages(
    user_ids: Sequence[Any], requests: Requests, found: Candidates, items: IdMap, channel: str
) -> list[Page]:
    """One page a request of what one channel found, as it stands."""
    external, scores = items.external(found.item.numpy()).tolist(), found.score.tolist()
    known, at, bounds = (requests.user >= 0).tolist(), requests.time.tolist(), found.offsets.tolist()
    return [
        Page(user, external[a:b], scores[a:b], [[channel]] * (b - a), known[i], at[i])
        for i, (user, (a, b)) in enumerate(zip(user_ids, pairwise(bounds), strict=True))
    ]


def _channel_names(bits: int, names: Mapping[int, str]) -> list[str]:
    return [name for place, name in names.items() if bits >> place & 1]


def _reasons(trace: Trace, items: IdMap, names: Sequence[str]) -> list[dict[str, object]]:
    shown = trace.page
    barred = {words: _barred(trace, bit, items) for bit, words in WHY.items()}
    counts = {name: left.counts.tolist() for name, left in trace.after_merge.items()}
    columns = {"score": shown.score, **shown.columns}
    flat = {name: column.tolist() for name, column in columns.items() if name not in _WORDED}
    dropped = broken_of(shown, len(names)).tolist()
    rules = {words: shown.columns[name].tolist() for name, words in _RULED.items()}
    bounds = shown.offsets.tolist()
    return [
        {
            "items after each stage": {name: column[i] for name, column in counts.items()},
            **{words: lists[i] for words, lists in barred.items()},
            "rules": {
                **{name: column[a] if b > a else 0 for name, column in rules.items()},
                "items that break a rule": {
                    name: count for name, count in zip(names, dropped[i], strict=True) if count
                },
            },
            "stage scores": {name: column[a:b] for name, column in flat.items()},
        }
        for i, (a, b) in enumerate(pairwise(bounds))
    ]


def _barred(trace: Trace, bit: int, items: IdMap) -> list[list[Any]]:
    """External ids of the items that channels found for each request and that this bars, by row of the catalogue."""
    lists = [found.keep(found.columns["why"] & bit > 0) for found in trace.found.values()]
    pairs = torch.cat([found.request * len(items) + found.item for found in lists]).unique()
    bounds = offsets_of(torch.bincount(pairs // len(items), minlength=trace.page.batch)).tolist()
    ids = items.external((pairs % len(items)).numpy()).tolist()
    return [ids[a:b] for a, b in pairwise(bounds)]


def broken_of(pages: Candidates, rules: int) -> Tensor:
    """int64 [B, R]: the items of each page that break each rule, of a re-ranker with R rules."""
    bits = pages.columns["broken"][:, None] >> torch.arange(rules) & 1
    return torch.zeros((pages.batch, rules), dtype=torch.int64).index_add_(0, pages.request, bits)
