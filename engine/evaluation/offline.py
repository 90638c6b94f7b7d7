"""One pass of the held-out requests through a loaded engine, and the quality and diversity seen on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress

from headrace.channels import Channel
from headrace.data import Catalogue
from headrace.evaluation.bootstrap import intervals
from headrace.evaluation.held_out import HeldOut, best, in_order
from headrace.exposure import Bars
from headrace.funnel import Funnel
from headrace.jagged import top_per_segment
from headrace.recall import alone as lone
from headrace.report.model import Diversity, DiversityRow, Gain, Kind, Quality, QualityRow
from headrace.reranking.variety import page_diversity
from headrace.types import Candidates, Requests

_BATCH = 128
#: Field of the trace -> its row in the table.
_STAGES: dict[str, tuple[str, Kind]] = {
    "merged": ("merge", "merge"),
    "pre_ranked": ("after pre-ranking", "ranking"),
    "ranked": ("after ranking", "ranking"),
    "page": ("after re-ranking", "reranking"),
}


@dataclass(frozen=True)
class Pass:
    """What came out for every held-out request, in their order; lists are int64 with -1 padding.

    alone: channel, of the funnel or beside it -> [B, k or the largest quota]. after: field of the trace -> [B, k].
    random: [B, k]. page, plain: [B, shown], re-ranked and best by score. page_reward, plain_reward: float64 [B], mean
    ranking score of each; NaN for a short page.
    """

    alone: dict[str, NDArray[np.int64]]
    after: dict[str, NDArray[np.int64]]
    random: NDArray[np.int64]
    page: NDArray[np.int64]
    plain: NDArray[np.int64]
    page_reward: NDArray[np.float64]
    plain_reward: NDArray[np.float64]


def run_held_out(
    funnel: Funnel,
    question: HeldOut,
    shown: int,
    k: int = 50,
    progress: Progress | None = None,
    beside: Mapping[str, Channel] | None = None,
) -> Pass:
    """Asks every channel alone, and the whole funnel, for each held-out request. beside: channels that the funnel does
    not have, by a name of their own."""
    channels = {**{channel.name: channel for channel in funnel.channels}, **(beside or {})}
    alone: dict[str, list[NDArray[np.int64]]] = {name: [] for name in channels}
    after: dict[str, list[NDArray[np.int64]]] = {field: [] for field in _STAGES}
    random: list[NDArray[np.int64]] = []
    pages: list[tuple[NDArray[np.int64], NDArray[np.int64], Candidates, Candidates]] = []
    longest = max(k, *(min(quota, funnel.items) for quota in funnel.quotas))
    task = progress.add_task("held-out requests", total=len(question.requests)) if progress else None
    for requests in question.batches(_BATCH):
        for name, channel in channels.items():
            alone[name].append(in_order(lone(requests, channel, longest, funnel.bars), longest))
        random.append(in_order(_random(funnel.bars, requests, k), k))
        trace = funnel.run(requests, max(shown, k))
        for field, lists in after.items():
            # A page is picked one by one, so its first k are the page of k.
            lists.append(in_order(trace.page, k) if field == "page" else best(getattr(trace, field), k))
        plain = trace.ranked.take(*_top(trace.ranked, shown))
        page = trace.page.keep(_places(trace.page) < shown)
        pages.append((in_order(page, shown), in_order(plain, shown), page, plain))
        if progress and task is not None:
            progress.advance(task, len(requests))
    return Pass(
        {name: np.concatenate(parts) for name, parts in alone.items()},
        {field: np.concatenate(parts) for field, parts in after.items()},
        np.concatenate(random),
        np.concatenate([part[0] for part in pages]),
        np.concatenate([part[1] for part in pages]),
        np.concatenate([_mean_score(part[2], shown) for part in pages]),
        np.concatenate([_mean_score(part[3], shown) for part in pages]),
    )


class NamedLists(NamedTuple):
    """A row of the tables. lists: int64 [B, k]."""

    name: str
    kind: Kind
    personalised: bool
    lists: NDArray[np.int64]


def named_lists(seen: Pass, funnel: Funnel, beside: Mapping[str, Channel]) -> list[NamedLists]:
    """Each channel alone, the funnel after each stage, and baselines; beside: as `run_held_out` had them."""
    rows = [NamedLists(*_channel_row(channel), seen.alone[channel.name]) for channel in funnel.channels]
    rows += [
        NamedLists(name, kind, True, seen.after[field])
        for field, (name, kind) in _STAGES.items()
        if field not in funnel.skipped
    ]
    rows += [NamedLists(name, "baseline", channel.personalised, seen.alone[name]) for name, channel in beside.items()]
    return [*rows, NamedLists("random", "baseline", False, seen.random)]


def measure_quality(
    seen: Pass,
    funnel: Funnel,
    question: HeldOut,
    held_out_words: str,
    k: int = 50,
    beside: Mapping[str, Channel] | None = None,
) -> Quality:
    """Recall and NDCG with intervals, hit rate, coverage and novelty at k: of each channel alone, of the funnel after
    each stage, and of two baselines."""
    rows, stages = [], []
    for one in named_lists(seen, funnel, beside or {}):
        (found,) = question.judge(one.lists, [k])
        if one.kind in ("merge", "ranking", "reranking"):
            stages.append((one.name, np.stack([found.values["recall"], found.values["ndcg"]])))
        recall, ndcg = intervals(np.stack([found.values["recall"], found.values["ndcg"]]))
        rows.append(
            QualityRow(
                one.name,
                one.kind,
                one.personalised,
                recall.mean,
                ndcg.mean,
                found.hit_rate,
                found.coverage,
                found.mean("novelty"),
                (recall.low, recall.high),
                (ndcg.low, ndcg.high),
            )
        )
    truth = "items of interest after the cut and not seen before it"
    return Quality(rows, len(question.requests), held_out_words, k, truth, [_gain(*pair) for pair in pairwise(stages)])


def _gain(before: tuple[str, NDArray[np.float64]], after: tuple[str, NDArray[np.float64]]) -> Gain:
    """before, after: the name of a stage, and float64 [2, R], the recall and NDCG of every user."""
    recall, ndcg = intervals(after[1] - before[1])
    return Gain(after[0], before[0], recall.mean, (recall.low, recall.high), ndcg.mean, (ndcg.low, ndcg.high))


def measure_diversity(seen: Pass, funnel: Funnel, catalogue: Catalogue) -> Diversity:
    """Pages of the same size with and without re-ranking, over the same ranked candidates; short pages are left out."""
    whole = ~np.isnan(seen.page_reward) & ~np.isnan(seen.plain_reward)
    category = catalogue.first_category() if catalogue.category is not None else None
    rows = []
    for name, pages, reward in (
        ("top by score", seen.plain, seen.plain_reward),
        ("re-ranked", seen.page, seen.page_reward),
    ):
        measured = page_diversity(pages[whole], funnel.reranker.vectors, category, catalogue.author)
        rows.append(
            DiversityRow(
                name,
                measured.intra_list_distance,
                measured.categories,
                measured.longest_run,
                float(reward[whole].mean()) if whole.any() else float("nan"),
                measured.authors,
            )
        )
    return Diversity(rows, seen.page.shape[1], int(whole.sum()))


def _channel_row(channel: Channel) -> tuple[str, Kind, bool]:
    if channel.name == "popular":
        return "popularity", "baseline", False
    return channel.name.replace("_", " "), "channel", channel.personalised


def _random(bars: Bars, requests: Requests, k: int) -> Candidates:
    """k distinct items for each request that may be shown, drawn uniformly; the same for the same first user."""
    generator = torch.Generator().manual_seed(int(requests.user[0]) if len(requests) else 0)
    n_items = len(bars.stock)
    known = max((int(offsets.diff().max()) for offsets, _ in requests.blocked.values()), default=0)
    asked = min(2 * k + known, n_items)
    item = torch.rand(len(requests), n_items, generator=generator, dtype=torch.float32).topk(asked, 1).indices.flatten()
    offsets = torch.arange(len(requests) + 1) * asked
    drawn = Candidates(offsets, item, torch.zeros(len(item), dtype=torch.float32), torch.zeros_like(item))
    found = bars.marked(requests, drawn)
    return found.keep(found.columns["why"] == 0)


def _top(candidates: Candidates, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    return top_per_segment(candidates.offsets, candidates.score, candidates.item, k)


def _places(candidates: Candidates) -> torch.Tensor:
    """int64 [nnz]: the place of each entry in its own list, from 0."""
    return torch.arange(len(candidates)) - candidates.offsets[candidates.request]


def _mean_score(pages: Candidates, size: int) -> NDArray[np.float64]:
    """float64 [B]: the mean score of each page of `size` items, NaN for a shorter one."""
    total = torch.zeros(pages.batch, dtype=torch.float64).index_add_(0, pages.request, pages.score.double())
    mean = torch.where(pages.counts == size, total / size, float("nan"))
    return np.asarray(mean.numpy(), np.float64)
