"""The funnel: recall, merge, exposure filter, pre-ranking, ranking, re-ranking, one batched call after another."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from headrace.channels import Channel
from headrace.channels.merge import merge
from headrace.exposure import ExposureFilter
from headrace.kernels import spans
from headrace.ranking import PreRanker, Ranker
from headrace.reranking import Reranker
from headrace.types import Candidates, Requests


@dataclass(frozen=True)
class StageTime:
    """One stage of one batch: items in and out over the whole batch, and seconds of wall time."""

    stage: str
    items_in: int
    items_out: int
    seconds: float


@dataclass
class Trace:
    """What one batch went through: every stage's candidates, and its time. seen: bool [nnz], which of the merged
    candidates the exposure filter removed."""

    times: list[StageTime] = field(default_factory=list)
    stages: dict[str, Candidates] = field(default_factory=dict)
    seen: Tensor | None = None

    @contextmanager
    def stage(self, name: str, items_in: int) -> Iterator[None]:
        with spans.span("stage", name) as span:
            start = time.perf_counter()
            yield
            seconds = time.perf_counter() - start
        items_out = len(self.stages[name])
        self.times.append(StageTime(name, items_in, items_out, seconds))
        if span is not None:
            span.items_in, span.items_out = items_in, items_out


@dataclass(frozen=True)
class Funnel:
    """The stages, fixed for the life of a snapshot. Safe to call from many threads.

    items: how many the catalogue has. quotas: how many each channel may bring. merged: how many the merge keeps.
    ranked: how many pre-ranking passes on.
    """

    items: int
    channels: Sequence[Channel]
    quotas: Sequence[int]
    merged: int
    exposure: ExposureFilter
    preranker: PreRanker
    ranked: int
    ranker: Ranker
    reranker: Reranker

    @torch.inference_mode()
    def run(self, requests: Requests, shown: int) -> Trace:
        """Takes a batch of requests to pages of at most `shown` items; `trace.stages["re-ranking"]` holds them."""
        trace = Trace()
        stages = trace.stages
        for channel, quota in zip(self.channels, self.quotas, strict=True):
            with trace.stage(channel.name, len(requests) * self.items):
                stages[channel.name] = channel.recall(requests, quota)
        found = [stages[channel.name] for channel in self.channels]
        with trace.stage("merge", sum(map(len, found))):
            stages["merge"] = merge(found, self.quotas, self.merged)
        with trace.stage("exposure filter", len(stages["merge"])):
            stages["exposure filter"], trace.seen = self.exposure.filter(stages["merge"], requests)
        with trace.stage("pre-ranking", len(stages["exposure filter"])):
            stages["pre-ranking"] = self.preranker.score(requests, stages["exposure filter"], self.ranked)
        with trace.stage("ranking", len(stages["pre-ranking"])):
            stages["ranking"] = self.ranker.score(requests, stages["pre-ranking"])
        with trace.stage("re-ranking", len(stages["ranking"])):
            stages["re-ranking"] = self.reranker.rerank(stages["ranking"], shown)
        return trace
