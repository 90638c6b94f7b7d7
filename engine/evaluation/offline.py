"""Quality and diversity of a loaded engine on held-out days, stage by stage."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress

from headrace.data import Catalogue
from headrace.evaluation.diversity import page_diversity
from headrace.evaluation.held_out import HeldOut, best, in_order
from headrace.funnel import Funnel
from headrace.report.model import Diversity, DiversityRow, Kind, Quality, QualityRow
from headrace.types import Candidates, Requests

_BATCH = 128
#: Items asked of a lone channel, so that enough are left after the exposure filter.
_ASKED = 1000
_ROWS_OF_STAGE: tuple[tuple[str, str, Kind], ...] = (
    ("exposure filter", "merge", "merge"),
    ("pre-ranking", "after pre-ranking", "ranking"),
    ("ranking", "after ranking", "ranking"),
    ("re-ranking", "after re-ranking", "reranking"),
)


def measure_quality(
    funnel: Funnel, question: HeldOut, n_items: int, held_out_words: str, k: int = 50, progress: Progress | None = None
) -> Quality:
    """Recall, NDCG, hit rate and coverage at k: each channel alone, the funnel after each stage, and two baselines."""
    lists: dict[str, list[NDArray[np.int64]]] = {}
    task = progress.add_task("measuring quality", total=len(question.requests)) if progress else None
    for requests in question.batches(_BATCH):
        for channel in funnel.channels:
            found, _ = funnel.exposure.filter(channel.recall(requests, _ASKED), requests)
            lists.setdefault(channel.name, []).append(best(found, k))
        lists.setdefault("random", []).append(in_order(_random(funnel, requests, n_items, k), k))
        stages = funnel.run(requests, k).stages
        for stage, _, _ in _ROWS_OF_STAGE:
            picked = in_order(stages[stage], k) if stage == "re-ranking" else best(stages[stage], k)
            lists.setdefault(stage, []).append(picked)
        if progress and task is not None:
            progress.advance(task, len(requests))
    names: list[tuple[str, str, Kind, bool]] = [(c.name, *_row_of(c.name, c.personalised)) for c in funnel.channels]
    names += [(stage, name, kind, True) for stage, name, kind in _ROWS_OF_STAGE]
    names.append(("random", "random", "baseline", False))
    rows = []
    for key, name, kind, personalised in names:
        quality = question.judge(np.concatenate(lists[key]), k, n_items)
        rows.append(
            QualityRow(name, kind, personalised, quality.recall, quality.ndcg, quality.hit_rate, quality.coverage)
        )
    truth = "items clicked after the cut and not seen before it"
    return Quality(rows, len(question.requests), held_out_words, k, truth)


def _row_of(name: str, personalised: bool) -> tuple[str, Kind, bool]:
    return ("popularity", "baseline", False) if name == "popular" else (name, "channel", personalised)


def _random(funnel: Funnel, requests: Requests, n_items: int, k: int) -> Candidates:
    """k distinct unseen items for each request, drawn uniformly; the same for the same first user."""
    generator = torch.Generator().manual_seed(int(requests.user[0]) if len(requests) else 0)
    asked = min(2 * k, n_items)
    item = torch.rand(len(requests), n_items, generator=generator).topk(asked, 1).indices.flatten()
    offsets = torch.arange(len(requests) + 1) * asked
    drawn = Candidates(offsets, item, torch.zeros(len(item)), torch.zeros_like(item))
    return funnel.exposure.filter(drawn, requests)[0]


def measure_diversity(
    funnel: Funnel, question: HeldOut, catalogue: Catalogue, page_size: int, limit: int = 1000
) -> Diversity:
    """Pages of the same size with and without the diversity step, over the same ranked candidates."""
    plain, diverse, rewards = [], [], {"plain": [0.0], "diverse": [0.0]}
    pages = 0
    for requests in question.batches(_BATCH):
        if pages >= limit:
            break
        ranked = funnel.run(requests, page_size).stages
        enough = ranked["ranking"].counts >= page_size
        first, second = best(ranked["ranking"], page_size), in_order(ranked["re-ranking"], page_size)
        plain.append(first[enough.numpy()])
        diverse.append(second[enough.numpy()])
        rewards["plain"] += _rewards(ranked["ranking"], page_size, enough)
        rewards["diverse"] += _rewards(ranked["re-ranking"], page_size, enough)
        pages += int(enough.sum())
    category = catalogue.first_category() if catalogue.category is not None else None
    vectors = funnel.reranker.vectors
    rows = []
    for name, lists, key in (("top by score", plain, "plain"), ("re-ranked", diverse, "diverse")):
        measured = page_diversity(np.concatenate(lists), vectors, category, catalogue.author)
        reward = float(np.mean(rewards[key][1:])) if pages else float("nan")
        rows.append(
            DiversityRow(
                name,
                measured.intra_list_distance,
                measured.categories,
                measured.longest_run,
                reward,
                measured.authors,
            )
        )
    return Diversity(rows, page_size, pages)


def _rewards(candidates: Candidates, page_size: int, enough: torch.Tensor) -> list[float]:
    """Mean ranking score of the best `page_size` candidates of each request that has enough."""
    score = torch.full((candidates.batch, page_size), float("-inf"))
    place = torch.arange(len(candidates)) - candidates.offsets[candidates.request]
    order = torch.argsort(candidates.score, descending=True, stable=True)
    order = order[torch.argsort(candidates.request[order], stable=True)]
    inside = place < page_size
    score[candidates.request[inside], place[inside]] = candidates.score[order][inside]
    return score[enough].mean(1).tolist()
