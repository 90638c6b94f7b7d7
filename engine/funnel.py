"""The funnel: recall, bars, merge, pre-ranking, ranking, re-ranking, one batched call after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from headrace.channels import Channel
from headrace.channels.evidence import with_scores
from headrace.channels.merge import merge
from headrace.exposure import Bars, ExposureFilter
from headrace.features import FeatureStore
from headrace.kernels import spans
from headrace.ranking import Ranker, Select
from headrace.recall import asked, cut, fill, sift
from headrace.reranking import Reranker, first
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
    merge takes. filled: with what the last resort added, or all of the catalogue where that is ranked. skipped: the
    fields of stages that this funnel leaves out; each holds what the stage before left.
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
    skipped: frozenset[str] = frozenset()

    @property
    def recalled(self) -> dict[str, Candidates]:
        """By channel, its quota of what may be shown."""
        pairs = zip(self.allowed.items(), self.quotas, strict=True)
        return {name: cut(lists, quota) for (name, lists), quota in pairs}

    @property
    def after_merge(self) -> dict[str, Candidates]:
        """The candidates that each stage from the merge on left, by what people call it; none of a skipped stage."""
        return {label: getattr(self, name) for name, label in STAGES.items() if name not in self.skipped}


@dataclass(frozen=True)
class Funnel:
    """The stages, fixed for the life of a snapshot. Safe to call from many threads.

    items: how many the catalogue has. quotas: how many each channel may bring. merged: how many the merge keeps.
    store: the features of both rankers. select: which of the pre-ranked go on. whole: whether all items that may be
    shown are candidates, not what recall brought alone. preranker, ranker: None: that stage is skipped, and the scores
    are those of the stage before. reranks: whether the re-ranker picks pages, which are the best scores else.
    """

    items: int
    channels: Sequence[Channel]
    quotas: Sequence[int]
    merged: int
    bars: Bars
    store: FeatureStore
    preranker: Ranker | None
    select: Select
    ranker: Ranker | None
    reranker: Reranker
    whole: bool = False
    reranks: bool = True

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
            filled = done(self._filled(requests, merged, self.items if self.whole else size))
            if self._blends:
                filled = with_scores(filled, allowed)
        pre_ranked = filled
        if self.preranker is not None:
            with _timed(times, STAGES["pre_ranked"], len(filled)) as done:
                select = self.select if self.select.keep >= size else replace(self.select, keep=size)
                pre_ranked = done(select.select(self.preranker.score(requests, filled)))
        ranked = pre_ranked
        if self.ranker is not None:
            with _timed(times, STAGES["ranked"], len(pre_ranked)) as done:
                ranked = done(self.ranker.score(requests, pre_ranked))
        with _timed(times, STAGES["page"], len(ranked)) as done:
            page = done(self.reranker.rerank(ranked, size) if self.reranks else first(ranked, size))
        if not self.reranks:
            del times[-1]
        names = [channel.name for channel in self.channels]
        given, passed = (dict(zip(names, parts, strict=True)) for parts in (found, allowed))
        parts = merged, filled, pre_ranked, ranked, page
        return Trace(given, passed, self.quotas, *parts, times, self.skipped)

    @property
    def skipped(self) -> frozenset[str]:
        """The fields of the trace of stages that are left out."""
        used = {"pre_ranked": self.preranker, "ranked": self.ranker, "page": self.reranks or None}
        return frozenset(name for name, part in used.items() if part is None)

    @property
    def _blends(self) -> bool:
        rankers = (self.preranker, self.ranker)
        return any(ranker is not None and ranker.heads.blend is not None for ranker in rankers)

    def _filled(self, requests: Requests, merged: Candidates, size: int) -> Candidates:
        """`merged` with what the last resort adds for pages of `size`.

        Items that have slots of their own make no page full, so they don't count.
        """
        slotted = self.reranker.slotted if self.reranks else None
        counts = merged.counts if slotted is None else merged.keep(~slotted[merged.item]).counts
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
