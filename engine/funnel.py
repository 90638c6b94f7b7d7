"""The funnel: recall, bars, merge, pre-ranking, ranking, re-ranking, one batched call after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from headrace.channels import Channel
from headrace.channels.merge import merge
from headrace.exposure import Bars, ExposureFilter
from headrace.kernels import spans
from headrace.ranking import Ranker, Select
from headrace.recall import asked, cut, fill, sift
from headrace.reranking import Reranker
from headrace.types import Candidates, Requests

#: What people call the stage that bars what a request may not be shown.
BARS = "exposure filter"
#: Field of the trace -> what people call the stage that it comes from; channels go by their names.
STAGES = {
    "merged": "merge",
    "filled": "fill",
    "pre_ranked": "pre-ranking",
    "ranked": "ranking",
    "page": "re-ranking",
}


@dataclass(frozen=True)
class StageTime:
    """One stage of one batch: items in and out over the whole batch, and seconds of wall time."""

    stage: str
    items_in: int
    items_out: int
    seconds: float


@dataclass(frozen=True)
class Trace:
    """What one batch went through: the candidates that each stage left, and its time.

    found: by channel, all that it gave, with the column "why": uint8, bits of `WHY` (headrace.exposure.bars), 0 where
    the item may be shown. allowed: by channel, those that may be; nothing else goes on. quotas: how many of each the
    merge takes. filled: with what the last resort added.
    """

    found: dict[str, Candidates]
    allowed: dict[str, Candidates]
    quotas: Sequence[int]
    merged: Candidates
    filled: Candidates
    pre_ranked: Candidates
    ranked: Candidates
    page: Candidates
    times: list[StageTime]

    @property
    def recalled(self) -> dict[str, Candidates]:
        """By channel, its quota of what may be shown."""
        pairs = zip(self.allowed.items(), self.quotas, strict=True)
        return {name: cut(lists, quota) for (name, lists), quota in pairs}

    @property
    def after_merge(self) -> dict[str, Candidates]:
        """The candidates that each stage from the merge on left, by what people call it."""
        return {label: getattr(self, name) for name, label in STAGES.items()}


@dataclass(frozen=True)
class Funnel:
    """The stages, fixed for the life of a snapshot. Safe to call from many threads.

    items: how many the catalogue has. quotas: how many each channel may bring. merged: how many the merge keeps.
    select: which of the pre-ranked go on.
    """

    items: int
    channels: Sequence[Channel]
    quotas: Sequence[int]
    merged: int
    bars: Bars
    preranker: Ranker
    select: Select
    ranker: Ranker
    reranker: Reranker

    @property
    def exposure(self) -> ExposureFilter:
        return self.bars.exposure

    @torch.no_grad()
    def run(self, requests: Requests, shown: int) -> Trace:
        """Takes a batch of requests to pages of at most `shown` items.

        A page has as many while there are so many that the request may be shown, up to `merged`.
        """
        times: list[StageTime] = []
        found: list[Candidates] = []
        for channel, quota in zip(self.channels, self.quotas, strict=True):
            with _timed(times, channel.name, len(requests) * self.items, "channel") as done:
                found.append(done(channel.recall(requests, asked(quota))))
        with _timed(times, BARS, sum(map(len, found))) as done:
            allowed, found = sift(requests, self.channels, self.quotas, found, self.bars)
            done(*allowed)
        with _timed(times, STAGES["merged"], sum(map(len, allowed))) as done:
            merged = done(merge(allowed, self.quotas, self.merged))
        size = min(shown, self.items, self.merged)
        with _timed(times, STAGES["filled"], len(merged)) as done:
            filled = done(self._filled(requests, merged, size))
        with _timed(times, STAGES["pre_ranked"], len(filled)) as done:
            select = self.select if self.select.keep >= size else replace(self.select, keep=size)
            pre_ranked = done(select.select(self.preranker.score(requests, filled)))
        with _timed(times, STAGES["ranked"], len(pre_ranked)) as done:
            ranked = done(self.ranker.score(requests, pre_ranked))
        with _timed(times, STAGES["page"], len(ranked)) as done:
            page = done(self.reranker.rerank(ranked, size))
        names = [channel.name for channel in self.channels]
        given, passed = (dict(zip(names, parts, strict=True)) for parts in (found, allowed))
        return Trace(given, passed, self.quotas, merged, filled, pre_ranked, ranked, page, times)

    def _filled(self, requests: Requests, merged: Candidates, size: int) -> Candidates:
        """`merged` with what the last resort adds for pages of `size`.

        Items that have slots of their own make no page full, so they don't count.
        """
        slotted, counts = self.reranker.slotted, merged.counts
        if slotted is not None:
            counts = merged.keep(~slotted[merged.item]).counts
        return fill(requests, merged, (size - counts).clamp_min(0), self.bars, slotted)


@contextmanager
def _timed(
    times: list[StageTime], stage: str, items_in: int, kind: spans.Kind = "stage"
) -> Iterator[Callable[..., Candidates]]:
    """Times a stage, which hands what it leaves to the function that it is given, and gets the first of it back."""
    left: list[int] = []

    def done(*candidates: Candidates) -> Candidates:
        left.append(sum(map(len, candidates)))
        return candidates[0]

    with spans.span(kind, stage) as span:
        start = time.perf_counter()
        yield done
        seconds = time.perf_counter() - start
    items_out = left[0]
    times.append(StageTime(stage, items_in, items_out, seconds))
    if span is not None:
        span.items_in, span.items_out = items_in, items_out
