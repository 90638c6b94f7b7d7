"""Recall in two hops on a GPU: against the reference, then beside it: the reference is plain torch."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from headrace.benchmarks.gpu.peers import provider
from headrace.benchmarks.gpu.site import Check, Part, Site, close, equal, refused
from headrace.benchmarks.harness.case import Bench, Call, Case
from headrace.kernels.two_hop import Edges, two_hop
from headrace.kernels.two_hop.work import work

Inputs = tuple[Tensor, Edges, Edges, int]


def _edges(
    site: Site, nodes: int, most: int, targets: int, seed: int, timed: bool = False, fixed: bool = False
) -> Edges:
    """Up to `most` edges of each node, with weights in eighths, so that sums are exact in any order."""
    counts = torch.full((nodes,), most, device=site.device) if fixed else site.integers(0, most + 1, nodes, seed=seed)
    offsets = site.offsets(counts)
    many = int(offsets[-1])
    weight = (1 + site.integers(0, 8, many, seed=seed + 1)).float() / 8
    owner = torch.repeat_interleave(torch.arange(nodes, device=site.device), counts)
    # Newest first within a node.
    time = (torch.arange(many, device=site.device) - offsets[owner]).neg() if timed else None
    return Edges(offsets, site.integers(0, targets, many, seed=seed + 2), weight, time)


def _same(users: Tensor, seeds: Edges, items: Edges, k: int, **options: Any) -> None:
    found, expected = (two_hop(users, seeds, items, k, backend=name, **options) for name in ("gpu", "reference"))
    for name, a, b in zip(("offsets", "items", "scores"), found, expected, strict=True):
        equal(name, a, b)


def awkward(site: Site) -> str:
    for users, most, nodes, each in ((1, 1, 3, 1), (7, 17, 31, 5), (33, 4, 65, 33)):
        seeds, items = _edges(site, users, most, nodes, 1), _edges(site, nodes, each, 97, 5)
        asked = site.integers(-1, users, 2 * users, seed=9)
        for k in (1, 5, 1000):
            _same(asked, seeds, items, k)
            _same(asked, seeds, items, k, limit=3)
    return "items and scores equal for 1 to 66 requests, with and without a limit"


def timed(site: Site) -> str:
    seeds, items = _edges(site, 9, 8, 40, 1), _edges(site, 40, 9, 97, 5, timed=True)
    asked = site.integers(-1, 9, 20, seed=9)
    _same(asked, seeds, items, 10, now=site.integers(-9, 2, 20, seed=4))
    return "equal where requests see items of their time or before"


def realistic(site: Site) -> str:
    users, nodes = site.size(20_000, 30), site.size(100_000, 60)
    seeds, items = _edges(site, users, site.size(50, 6), nodes, 1), _edges(site, nodes, site.size(50, 5), nodes, 5)
    _same(site.integers(0, users, site.size(256, 4), seed=9), seeds, items, site.size(500, 10))
    return f"equal for {users} users and {nodes} items"


def empty(site: Site) -> str:
    seeds, items = _edges(site, 3, 2, 4, 1), _edges(site, 4, 3, 9, 5)
    _same(site.integers(0, 1, 0), seeds, items, 3)
    _same(torch.full((3,), -1, device=site.device), seeds, items, 3)
    return "no requests, users without seeds"


def refusals(site: Site) -> str:
    seeds, items = _edges(site, 3, 2, 4, 1), _edges(site, 4, 3, 9, 5)
    refused("users: expected", lambda: two_hop(torch.full((2,), 3, device=site.device), seeds, items, 3, backend="gpu"))
    return "users that are not there are named"


def bench(site: Site) -> Bench:
    batch, users, nodes = site.size(256, 3), site.size(20_000, 20), site.size(100_000, 50)
    mine, each, k = site.size(50, 4), site.size(50, 5), site.size(500, 10)

    def inputs() -> Inputs:
        seeds, items = _edges(site, users, mine, nodes, 1, fixed=True), _edges(site, nodes, each, nodes, 5, fixed=True)
        return site.integers(0, users, batch, seed=9), seeds, items, k

    def of(backend: str, given: Inputs) -> Call:
        asked, seeds, items, k = given
        return lambda: two_hop(asked, seeds, items, k, backend=backend)

    params: dict[str, Any] = {"batch": batch, "seeds": mine, "items": each, "k": k}
    least = work(batch * mine, batch * mine * each, batch * min(k, mine * each))
    case = Case("two_hop", f"B{batch} {mine} seeds of {each} k{k}", params, inputs, _check, least)
    providers = (
        provider(site, "headrace", "headrace", lambda given: of("gpu", given)),
        provider(site, "torch", "reference", lambda given: of("reference", given)),
    )
    return Bench("two_hop", "recall in two hops", (case,), providers)


def _check(given: Inputs, answer: Any) -> str:
    """The first requests against sums in a dictionary."""
    asked, seeds, items, k = given
    kept, found, score = (part.cpu() for part in answer)
    first, second = ([part.cpu().tolist() for part in (e.offsets, e.target, e.weight)] for e in (seeds, items))  # type: ignore[union-attr]
    sample = min(3, len(asked))
    for b, user in enumerate(asked[:sample].tolist()):
        total: dict[int, float] = defaultdict(float)
        for s in range(first[0][user], first[0][user + 1]):
            for i in range(second[0][first[1][s]], second[0][first[1][s] + 1]):
                total[second[1][i]] += first[2][s] * second[2][i]
        best = sorted(total, key=lambda one: (-total[one], one))[:k]
        own = slice(int(kept[b]), int(kept[b + 1]))
        equal("items", found[own], torch.tensor(best))
        close("scores", score[own], torch.tensor([total[one] for one in best]), 0, 1e-6)
    return f"exact, of {sample} requests"


PART = Part(
    ("two_hop",),
    (
        Check("two_hop", "awkward sizes", awkward),
        Check("two_hop", "timed items", timed),
        Check("two_hop", "realistic size", realistic),
        Check("two_hop", "empty", empty),
        Check("two_hop", "refusals", refusals),
    ),
    bench,
)
