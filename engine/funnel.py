"""The funnel: recall, merge, exposure filter, pre-ranking, ranking, re-ranking, one batched call after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from headrace.channels import Channel
from headrace.channels.merge import merge
from headrace.exposure import ExposureFilter
from headrace.kernels import spans
from headrace.ranking import Ranker, Select
from headrace.reranking import Reranker
from headrace.types import Candidates, Requests

#: Field of the trace -> what people call the stage that it comes from; channels go by their names.
STAGES = {
    "merged": "merge",
    "unseen": "exposure filter",
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

    recalled: by channel. seen: bool [nnz], which of the merged the exposure filter removed.
    """

    recalled: dict[str, Candidates]
    merged: Candidates
    seen: Tensor
    unseen: Candidates
    pre_ranked: Candidates
    ranked: Candidates
    page: Candidates
    times: list[StageTime]

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
    exposure: ExposureFilter
    preranker: Ranker
    select: Select
    ranker: Ranker
    reranker: Reranker

    @torch.inference_mode()
    def run(self, requests: Requests, shown: int) -> Trace:
        """Takes a batch of requests to pages of at most `shown` items."""
        times: list[StageTime] = []
        recalled: dict[str, Candidates] = {}
        for channel, quota in zip(self.channels, self.quotas, strict=True):
            with _timed(times, channel.name, len(requests) * self.items, "channel") as done:
                recalled[channel.name] = done(channel.recall(requests, quota))
        found = list(recalled.values())
        with _timed(times, STAGES["merged"], sum(map(len, found))) as done:
            merged = done(merge(found, self.quotas, self.merged))
        with _timed(times, STAGES["unseen"], len(merged)) as done:
            unseen, seen = self.exposure.filter(merged, requests)
            done(unseen)
        with _timed(times, STAGES["pre_ranked"], len(unseen)) as done:
            pre_ranked = done(self.select.select(self.preranker.score(requests, unseen)))
        with _timed(times, STAGES["ranked"], len(pre_ranked)) as done:
            ranked = done(self.ranker.score(requests, pre_ranked))
        with _timed(times, STAGES["page"], len(ranked)) as done:
            page = done(self.reranker.rerank(ranked, shown))
        return Trace(recalled, merged, seen, unseen, pre_ranked, ranked, page, times)


@contextmanager
def _timed(
    times: list[StageTime], stage: str, items_in: int, kind: spans.Kind = "stage"
) -> Iterator[Callable[[Candidates], Candidates]]:
    """Times a stage, which hands what it leaves to the function that it is given."""
    left: list[Candidates] = []

    def done(candidates: Candidates) -> Candidates:
        left.append(candidates)
        return candidates

    with spans.span(kind, stage) as span:
        start = time.perf_counter()
        yield done
        seconds = time.perf_counter() - start
    items_out = len(left[0])
    times.append(StageTime(stage, items_in, items_out, seconds))
    if span is not None:
        span.items_in, span.items_out = items_in, items_out
