"""Segment top-k on a GPU: against the reference, then beside torch.topk over padded segments."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from headrace.benchmarks.gpu.peers import COMPILED, compiled, provider, told
from headrace.benchmarks.gpu.site import Check, Part, Site, equal, refused
from headrace.benchmarks.harness.case import Bench, Call, Case, Wrong
from headrace.kernels.segment_topk import segment_topk
from headrace.kernels.segment_topk.work import work

LEAST_RIGHT = 0.99
Inputs = tuple[Tensor, Tensor, Tensor, int]


def _same(offsets: Tensor, score: Tensor, tie: Tensor, k: int) -> None:
    found, expected = (segment_topk(offsets, score, tie, k, backend=backend) for backend in ("gpu", "reference"))
    equal("offsets", found[1], expected[1])
    equal("positions", found[0], expected[0])


def awkward(site: Site) -> str:
    offsets = site.offsets([0, 1, 64, 85, 0, site.size(1000, 33)])
    count = int(offsets[-1])
    tie = site.integers(0, 20, count, seed=2)
    for values in (3, 10**6):
        score = site.integers(-values, values, count, seed=1) / 7.0
        for k in (1, 20, 2000):
            _same(offsets, score, tie, k)
    _same(offsets, torch.full_like(score, -torch.inf), tie, 7)
    return "positions equal for segments of 0 to 1000, ties, and k above the length"


def realistic(site: Site) -> str:
    offsets = site.offsets(site.integers(0, site.size(3000, 40), site.size(200, 5)))
    count = int(offsets[-1])
    _same(offsets, site.normal(count), site.integers(0, 1 << 40, count, seed=1), site.size(500, 10))
    return f"positions equal, {count} entries"


def empty(site: Site) -> str:
    for lengths in ([], [0, 0]):
        _same(site.offsets(lengths), site.normal(0), site.integers(0, 1, 0), 3)
    return "no segments, only empty ones"


def not_numbers(site: Site) -> str:
    score, tie = site.normal(9), site.integers(0, 9, 9)
    score[4] = torch.nan
    call = site.offsets([4, 5]), score, tie, 3
    refused("score: expected numbers, got NaN at position 4", lambda: segment_topk(*call, backend="gpu"))
    return "NaN is named"


def bench(site: Site) -> Bench:
    batch, length, k = site.size(256, 3), site.size(2000, 40), site.size(500, 10)

    def inputs() -> Inputs:
        count = batch * length
        return site.offsets([length] * batch), site.normal(count), site.integers(0, 1 << 40, count, seed=1), k

    def check(given: Inputs, answer: Any) -> str:
        _, score, tie, _ = given
        order = tie.view(batch, -1).argsort(dim=1, stable=True)
        ranked = score.view(batch, -1).gather(1, order).argsort(dim=1, stable=True, descending=True)
        starts = torch.arange(batch, device=site.device)[:, None] * length
        expected = (order.gather(1, ranked)[:, :k] + starts).flatten()
        right = float((answer == expected).double().mean()) if answer.shape == expected.shape else 0.0
        if right < LEAST_RIGHT:
            raise Wrong(f"{right:.2%} of the positions right")
        return told(right, "of the positions")

    def padded(score: Tensor) -> Tensor:
        """Segments here have one length; ties go anywhere."""
        starts = torch.arange(batch, device=score.device)[:, None] * length
        best: Tensor = score.view(batch, length).topk(k, dim=1).indices + starts
        return best.flatten()

    def ours(given: Inputs) -> Call:
        offsets, score, tie, k = given
        return lambda: segment_topk(offsets, score, tie, k, backend="gpu")[0]

    def compile_it(given: Inputs) -> Call:
        fast = compiled(site, padded)
        return lambda: fast(given[1])

    name = f"B{batch} n{length} k{k}"
    params: dict[str, Any] = {"batch": batch, "entries": length, "k": k}
    case = Case("segment_topk", name, params, inputs, check, work(batch * length, batch * k))
    providers = (
        provider(site, "headrace", "headrace", ours),
        provider(site, "torch", "peer", lambda given: lambda: padded(given[1])),
        provider(site, COMPILED, "peer", compile_it),
    )
    return Bench("segment_topk", "top-k of segments", (case,), providers)


PART = Part(
    ("segment_topk",),
    (
        Check("segment_topk", "awkward sizes", awkward),
        Check("segment_topk", "realistic size", realistic),
        Check("segment_topk", "empty", empty),
        Check("segment_topk", "not numbers", not_numbers),
    ),
    bench,
)
