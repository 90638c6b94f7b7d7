"""From candidates in dense rows to pages in external ids, with reasons on request."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from headrace.channels import Channel
from headrace.data.ids import IdMap
from headrace.funnel import Trace
from headrace.types import Candidates, Page, Requests

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
    names = [_channel_names(bits, channels) for bits in shown.channels.tolist()]
    known = (requests.user >= 0).tolist()
    why = _reasons(trace, items, rules) if reasons else [None] * len(requests)
    bounds = shown.offsets.tolist()
    return [
        Page(user, external[a:b], scores[a:b], names[a:b], known[i], why[i])
        for i, (user, a, b) in enumerate(zip(user_ids, bounds[:-1], bounds[1:], strict=True))
    ]


def _channel_names(bits: int, channels: Sequence[Channel]) -> list[str]:
    return [channel.name for place, channel in enumerate(channels) if bits >> place & 1]


def _reasons(trace: Trace, items: IdMap, names: Sequence[str]) -> list[dict[str, object]]:
    shown, seen = trace.page, trace.merged.keep(trace.seen)
    removed, removed_at = items.external(seen.item.numpy()).tolist(), seen.offsets.tolist()
    counts = {name: left.counts.tolist() for name, left in trace.after_merge.items()}
    columns = {"score": shown.score, **shown.columns}
    flat = {name: column.tolist() for name, column in columns.items() if name not in _WORDED}
    dropped = broken_of(shown, len(names)).tolist()
    rules = {words: shown.columns[name].tolist() for name, words in _RULED.items()}
    bounds = shown.offsets.tolist()
    return [
        {
            "items after each stage": {name: column[i] for name, column in counts.items()},
            "removed by the exposure filter": removed[removed_at[i] : removed_at[i + 1]],
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


def broken_of(pages: Candidates, rules: int) -> Tensor:
    """int64 [B, R]: the items of each page that break each rule, of a re-ranker with R rules."""
    bits = pages.columns["broken"][:, None] >> torch.arange(rules) & 1
    return torch.zeros((pages.batch, rules), dtype=torch.int64).index_add_(0, pages.request, bits)
