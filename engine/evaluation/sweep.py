"""The theta sweep: what each way to diversify pays in reward for how much distance, over the same ranked candidates."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor

from headrace.evaluation.retrieval import pad_lists
from headrace.evaluation.yardsticks import Objective, msd, page_value, ssd, swap_search
from headrace.funnel import Funnel
from headrace.jagged import gather_rows, standardise
from headrace.kernels.diversity import dpp
from headrace.report.sweep import SearchRow, Sweep, SweepRow
from headrace.reranking import Reranker
from headrace.reranking.methods import METHODS, Method
from headrace.reranking.variety import distinct_per_page, intra_list_distance
from headrace.types import Candidates, Requests

THETAS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
#: Thetas at which the greedy is held against local search.
SEARCHED = (0.3, 0.5, 0.7)
#: Vectors, rewards, offsets, k, theta, window -> picked.
Picker = Callable[[Tensor, Tensor, Tensor, int, float, int | None], Tensor]
YARDSTICKS: dict[str, Picker] = {
    "ssd": lambda v, r, o, k, theta, window: ssd(v, r, o, k, theta, window)[0],
    "msd": lambda v, r, o, k, theta, window: msd(v, r, o, k, theta)[0],
}


def _plain(method: Method) -> Picker:
    """The method without rules and pinned items."""
    return lambda v, r, o, k, theta, window: method(v, r, o, k, theta, window, None, None).picked


def pickers() -> dict[str, Picker]:
    """The re-ranking methods, then the yardsticks."""
    # Theta means nothing to score alone, which is where the others end at theta 1.
    return {name: _plain(one) for name, one in METHODS.items() if name != "none"} | YARDSTICKS


def ranked(funnel: Funnel, requests: Sequence[Requests], k: int) -> list[Candidates]:
    """What ranking hands to re-ranking, a batch at a time; requests of fewer than 2 k candidates are left out."""
    out = []
    for batch in requests:
        found = funnel.run(batch, k).ranked
        enough = torch.where(found.counts >= 2 * k, torch.arange(found.batch), -1)
        index, offsets = gather_rows(found.offsets, enough)
        out.append(found.take(index, offsets))
    return out


def sweep(
    reranker: Reranker,
    batches: Sequence[Candidates],
    k: int,
    window: int | None,
    wanted: Sequence[tuple[Tensor, Tensor]] = (),
    thetas: Sequence[float] = THETAS,
    progress: Progress | None = None,
) -> Sweep:
    """Pages of `k` by every re-ranking method and yardstick at every theta, without rules.

    wanted: for each batch, offsets int64 [B+1] and items of what its requests wanted; empty without held-out rows.
    Raises ValueError when no request has candidates.
    """
    kept = [(one.counts > 0) for one in batches]
    total = int(sum(int(mask.sum()) for mask in kept))
    if not total:
        raise ValueError(f"requests: expected at least 1 with {2 * k} ranked candidates or more, got none")
    inputs = [
        (reranker.vectors.index_select(0, one.item), standardise(one.offsets, one.score), one.offsets)
        for one in batches
    ]
    category = reranker.kinds.get("category")
    rows = []
    compared = pickers()
    task = progress.add_task("sweep", total=len(compared) * len(thetas) + 1) if progress else None
    for name, pick in compared.items():
        for theta in thetas:
            picked, seconds = _timed(pick, inputs, k, theta, window, 1 if name in YARDSTICKS else 3)
            pages = [_items(one, found) for one, found in zip(batches, picked, strict=True)]
            page = torch.cat([found[mask] for found, mask in zip(pages, kept, strict=True)]).numpy()
            reward = torch.cat([_mean(values, o, found) for (_, values, o), found in zip(inputs, picked, strict=True)])
            known = category is not None and bool((category >= 0).any())
            rows.append(
                SweepRow(
                    name.upper(),
                    theta,
                    float(reward.nanmean()),
                    float(np.nanmean(intra_list_distance(page, reranker.vectors.numpy()))),
                    float(distinct_per_page(page, category.numpy()).mean())
                    if known and category is not None
                    else np.nan,
                    _hits(pages, wanted) / total if wanted else np.nan,
                    1e3 * seconds / total,
                    name in YARDSTICKS,
                )
            )
            if progress and task is not None:
                progress.advance(task)
    search = [_search(method, inputs, k, theta, total) for method in ("dpp", "msd") for theta in SEARCHED]
    if progress and task is not None:
        progress.advance(task)
    candidates = float(sum(len(one) for one in batches)) / total
    return Sweep(rows, search, total, k, window, candidates, bool(wanted))


def _search(
    method: Objective, inputs: Sequence[tuple[Tensor, Tensor, Tensor]], k: int, theta: float, total: int
) -> SearchRow:
    """`total` requests' greedy pages and what exchanges make of them; a request without candidates adds 0."""
    greedy = searched = exchanged = 0.0
    for vectors, rewards, offsets in inputs:
        pick = (
            dpp(vectors, rewards, offsets, k, theta)[0]
            if method == "dpp"
            else msd(vectors, rewards, offsets, k, theta)[0]
        )
        found = swap_search(vectors, rewards, offsets, pick, theta, method)
        greedy += float(page_value(vectors, rewards, offsets, pick, theta, method).sum())
        searched += float(page_value(vectors, rewards, offsets, found, theta, method).sum())
        exchanged += int((pick != found).sum())
    return SearchRow(method.upper(), theta, greedy / total, searched / total, exchanged / total)


def _timed(
    pick: Picker, inputs: Sequence[tuple[Tensor, Tensor, Tensor]], k: int, theta: float, window: int | None, passes: int
) -> tuple[list[Tensor], float]:
    """The picks of every batch, and the seconds of the fastest pass over all of them."""
    best = float("inf")
    picked: list[Tensor] = []
    for _ in range(passes):
        start = time.perf_counter()
        picked = [pick(vectors, rewards, offsets, k, theta, window) for vectors, rewards, offsets in inputs]
        best = min(best, time.perf_counter() - start)
    return picked, best


def _items(candidates: Candidates, picked: Tensor) -> Tensor:
    """int64 [B, k]: rows of the catalogue for positions `picked`, -1 padding."""
    if not len(candidates):
        return torch.full_like(picked, -1)
    entry = candidates.offsets[:-1, None] + picked
    return torch.where(picked >= 0, candidates.item[entry.clamp_min(0) * (picked >= 0)], -1)


def _mean(reward: Tensor, offsets: Tensor, picked: Tensor) -> Tensor:
    """float64 [B]: the mean reward of each page, NaN for an empty one."""
    shown = picked >= 0
    entry = ((offsets[:-1, None] + picked) * shown).flatten()
    values = (
        reward.index_select(0, entry).view(picked.shape)
        if len(reward)
        else torch.zeros(picked.shape, dtype=torch.float32)
    )
    return (values * shown).double().sum(1) / shown.sum(1)


def _hits(pages: Sequence[Tensor], wanted: Sequence[tuple[Tensor, Tensor]]) -> int:
    """Items on the pages that their requests wanted."""
    total = 0
    for page, (offsets, items) in zip(pages, wanted, strict=True):
        asked = torch.from_numpy(pad_lists(offsets, items, max(1, int(offsets.diff().max()))))
        total += int(((page[:, :, None] == asked[:, None, :]) & (page >= 0)[:, :, None]).sum())
    return total


def wanted_of(offsets: Tensor, items: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    """The held-out lists in batches of `size` requests."""
    out = []
    for start in range(0, len(offsets) - 1, size):
        rows = torch.arange(start, min(start + size, len(offsets) - 1))
        index, bounds = gather_rows(offsets, rows)
        out.append((bounds, items[index]))
    return out
