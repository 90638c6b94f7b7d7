"""Pooling of items on a GPU: against the reference, then beside it: the reference is plain torch."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from headrace.benchmarks.gpu.peers import provider
from headrace.benchmarks.gpu.site import Check, Part, Site, close, equal, refused
from headrace.benchmarks.harness.case import Bench, Call, Case
from headrace.kernels.pool_items import pool_items
from headrace.kernels.pool_items.work import work

CONSTANT = 60.0
Inputs = tuple[Tensor, Tensor, int]


def _lists(site: Site, lists: int, batch: int, longest: int, items: int, fixed: bool = False) -> tuple[Tensor, Tensor]:
    """Offsets [lists, batch + 1] and items, each once in a list."""
    count = lists * batch
    lengths = torch.full((count,), longest) if fixed else site.integers(0, longest + 1, count, seed=1).cpu()
    # Steps of at least one apart, from a place drawn for each list: no item comes twice.
    ends = site.offsets(lengths.to(site.device))
    owner = torch.repeat_interleave(torch.arange(count, device=site.device), ends.diff())
    place = torch.arange(len(owner), device=site.device) - ends[owner]
    first, step = (
        site.integers(0, items, count, seed=2),
        site.integers(1, max(items // (longest + 1), 2), count, seed=3),
    )
    item = (first[owner] + place * step[owner]) % items
    starts = torch.arange(lists, device=site.device)[:, None] * batch + torch.arange(batch + 1, device=site.device)
    return ends[starts], item


def _same(offsets: Tensor, item: Tensor, k: int, **options: Any) -> None:
    found, expected = (pool_items(offsets, item, k, backend=backend, **options) for backend in ("gpu", "reference"))
    for name, a, b in zip(("offsets", "items", "scores", "lists"), found, expected, strict=True):
        equal(name, a, b)


def awkward(site: Site) -> str:
    for lists, batch, longest, items in ((1, 1, 1, 3), (3, 4, 30, 40), (63, 2, 5, 17)):
        offsets, item = _lists(site, lists, batch, longest, items)
        scores = site.uniform(len(item), seed=4).double()
        for k in (1, 5, 1000):
            _same(offsets, item, k)
            _same(offsets, item, k, score=scores, limits=[1 + n % 9 for n in range(lists)])
    return "items, scores and lists equal for 1 to 63 lists, by rank and by score, with limits"


def realistic(site: Site) -> str:
    offsets, item = _lists(site, 6, site.size(100, 4), site.size(500, 20), site.size(1_000_000, 200))
    _same(offsets, item, site.size(500, 10))
    return f"equal for {len(item)} entries"


def empty(site: Site) -> str:
    none = site.integers(0, 1, 0)
    for batch in (0, 3):
        _same(torch.zeros(2, batch + 1, dtype=torch.int64, device=site.device), none, 3)
    return "no requests, no items"


def refusals(site: Site) -> str:
    offsets, item = torch.tensor([[0, 2], [2, 4]], device=site.device), torch.tensor([5, 5, 1, 2], device=site.device)
    refused("item: expected each once in a list", lambda: pool_items(offsets, item, 3, backend="gpu"))
    score = torch.full((4,), torch.nan, dtype=torch.float64, device=site.device)
    refused("NaN", lambda: pool_items(offsets, item, 3, score=score, backend="gpu"))
    refused("offsets: expected list 0", lambda: pool_items(offsets.flip(1), item, 3, backend="gpu"))
    return "an item twice in a list, NaN and falling offsets are named"


def bench(site: Site) -> Bench:
    lists, batch, longest, k = 6, site.size(256, 3), site.size(300, 10), site.size(500, 10)
    items = site.size(1_000_000, 100)

    def inputs() -> Inputs:
        return *_lists(site, lists, batch, longest, items, fixed=True), k

    def of(backend: str, given: Inputs) -> Call:
        offsets, item, k = given
        return lambda: pool_items(offsets, item, k, constant=CONSTANT, backend=backend)

    name = f"L{lists} B{batch} n{longest} k{k}"
    params: dict[str, Any] = {"lists": lists, "batch": batch, "entries": longest, "items": items, "k": k}
    least = work(lists * batch * longest, batch * min(k, lists * longest))
    case = Case("pool_items", name, params, inputs, _check, least)
    providers = (
        provider(site, "headrace", "headrace", lambda given: of("gpu", given)),
        provider(site, "torch", "reference", lambda given: of("reference", given)),
    )
    return Bench("pool_items", "pooling of items", (case,), providers)


def _check(given: Inputs, answer: Any) -> str:
    """The first requests against sums in a dictionary."""
    offsets, item, k = given
    kept, pooled, score, _ = (part.cpu() for part in answer)
    bounds, items = offsets.cpu().tolist(), item.cpu().tolist()
    sample = min(3, len(kept) - 1)
    for b in range(sample):
        total: dict[int, float] = defaultdict(float)
        for ends in bounds:
            for rank, one in enumerate(items[ends[b] : ends[b + 1]], 1):
                total[one] += 1 / (CONSTANT + rank)
        rounded = {one: float(torch.tensor(worth, dtype=torch.float32)) for one, worth in total.items()}
        best = sorted(rounded, key=lambda one: (-rounded[one], one))[:k]
        own = slice(int(kept[b]), int(kept[b + 1]))
        equal("items", pooled[own], torch.tensor(best))
        close("scores", score[own], torch.tensor([rounded[one] for one in best]), 0, 0)
    return f"exact, of {sample} requests"


PART = Part(
    ("pool_items",),
    (
        Check("pool_items", "awkward sizes", awkward),
        Check("pool_items", "realistic size", realistic),
        Check("pool_items", "empty", empty),
        Check("pool_items", "refusals", refusals),
    ),
    bench,
)
