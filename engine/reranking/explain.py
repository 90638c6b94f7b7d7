"""Why a page looks as it does: what stood there before, what each pick beat, and which rules stepped in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headrace.jagged import gather_rows, offsets_of, top_per_segment
from headrace.reranking.diversity import Reranker
from headrace.reranking.rules import broken, name_of
from headrace.reranking.slots import Placed
from headrace.types import Candidates


@dataclass(frozen=True)
class Explained:
    """One request's page of K items beside the first K' by score alone.

    before, after: int64, rows of the catalogue in page order. before_score, after_score: float32, the ranking scores.
    rank: int64 [K], the place by score of each item of the page among all candidates, from 1; 0 for an item that was
    not a candidate. gain: float32 [K], the objective when picked. pinned: bool [K], the position was given away.
    bound: for each position, the rules that kept a better item away from it. broken: the rules that its item breaks.
    candidates: how many there were.
    """

    before: Tensor
    after: Tensor
    before_score: Tensor
    after_score: Tensor
    rank: Tensor
    gain: Tensor
    pinned: Tensor
    bound: list[list[str]]
    broken: list[list[str]]
    candidates: int

    @property
    def given_up(self) -> float:
        """The mean score that re-ranking gives up for variety and the rules, over the items of both pages."""
        size = min(len(self.before), len(self.after))
        if not size:
            return float("nan")
        return float(self.before_score[:size].mean() - self.after_score[:size].mean())


def explain(reranker: Reranker, candidates: Candidates, k: int) -> list[Explained]:
    """The page of each request, explained. Walks the requests: it is for reading, a few at a time.

    What a pick beat comes from the method itself: it is asked again without rules, with all picks before it pinned.
    """
    page = reranker.rerank(candidates, k)
    plain = candidates.take(*top_per_segment(candidates.offsets, candidates.score, candidates.item, k))
    return [
        _one(reranker, _request(candidates, b), _request(plain, b), _request(page, b), k) for b in range(page.batch)
    ]


def _one(reranker: Reranker, candidates: Candidates, before: Candidates, page: Candidates, k: int) -> Explained:
    rules = reranker.settings.rules
    names = [name_of(rules, r) for r in range(len(rules))]
    bits = page.columns["broken"]
    bound = _bound(reranker, reranker.place(candidates, k), page)
    at = candidates.item[:, None] == page.item
    better = (candidates.score[:, None] > page.score) | (
        (candidates.score[:, None] == page.score) & (candidates.item[:, None] < page.item)
    )
    return Explained(
        before.item,
        page.item,
        before.score,
        page.score,
        torch.where(at.any(0), better.sum(0) + 1, 0),
        page.columns["gain"],
        page.columns["pinned"] > 0,
        [[name for r, name in enumerate(names) if bound[r, t]] for t in range(len(page))],
        [[name for r, name in enumerate(names) if bits[t] >> r & 1] for t in range(len(page))],
        len(candidates),
    )


def _bound(reranker: Reranker, placed: Placed, page: Candidates) -> Tensor:
    """bool [R, K]: whether each rule forbids the item that would stand at each position without rules."""
    shown, items = len(page), placed.candidates.item
    if not shown:
        return torch.zeros((len(reranker.settings.rules), 0), dtype=torch.bool)
    entry = (items == page.item[:, None]).int().argmax(1)
    # Copy t of the request has its first t picks pinned, and what was given away.
    earlier = torch.arange(shown) < torch.arange(shown)[:, None]
    pinned = torch.where(earlier, entry, placed.pinned[:, :shown])
    every = gather_rows(placed.candidates.offsets, torch.zeros(shown, dtype=torch.int64))
    copies, reward = placed.candidates.take(*every), placed.reward[every[0]]
    picks = reranker.pick(copies, reward, shown, None, pinned)
    free = items[picks.picked.diagonal()]
    pages = torch.where(earlier, page.item, -1)
    pages.diagonal().copy_(free)
    forbidden = broken(reranker.settings.rules, reranker.kinds, pages).diagonal(dim1=1, dim2=2)
    return forbidden & (free != page.item)


def _request(candidates: Candidates, b: int) -> Candidates:
    """Request `b` alone."""
    part = torch.arange(int(candidates.offsets[b]), int(candidates.offsets[b + 1]))
    return candidates.take(part, offsets_of(torch.tensor([len(part)])))
