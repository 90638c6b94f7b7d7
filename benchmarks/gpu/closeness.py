"""Closeness on a GPU: against the reference, then beside padded products in torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from headrace.benchmarks.gpu.peers import COMPILED, compiled, provider
from headrace.benchmarks.gpu.site import Check, Part, Site, close, refused
from headrace.benchmarks.harness.case import Bench, Call, Case
from headrace.kernels.closeness import closeness
from headrace.kernels.closeness.work import work

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]


def _call(site: Site, lengths: list[int], items: int, dim: int, recent: int, least: int = -1) -> Inputs:
    content = normalize(site.normal(items, dim), dim=1)
    behaviours = site.integers(least, items, len(lengths), recent, seed=1).int()
    return content, behaviours, site.offsets(lengths), site.integers(0, items, sum(lengths), seed=2)


def _within(found: Tensor, expected: Tensor, inputs: Inputs) -> None:
    """The documented bound for unit vectors, and the rounding of what it is held against."""
    content, recent = inputs[:2]
    close("closeness", found, expected, 2.0**-24, (recent.shape[1] + content.shape[1] + 4) * 2.0**-24)


def _same(inputs: Inputs) -> None:
    found, expected = (closeness(*inputs, backend=backend) for backend in ("gpu", "reference"))
    _within(found, expected, inputs)


def awkward(site: Site) -> str:
    for dim, recent in ((1, 1), (16, 5), (7, 3), (4, 0), (site.size(200, 33), 2)):
        inputs = _call(site, [0, 70, 5, 0, 5], 30, dim, recent)
        inputs[1][1] = -1
        _same(inputs)
    return "within the bound for 0 to 5 recent items, some without any"


def realistic(site: Site) -> str:
    inputs = _call(site, [site.size(500, 40)] * site.size(64, 2), site.size(100_000, 60), 64, site.size(20, 3))
    _same(inputs)
    return f"within the bound for {len(inputs[3])} candidates"


def refusals(site: Site) -> str:
    content, recent, offsets, item = _call(site, [3, 4], 9, 8, 2, least=0)
    refused("item: expected 0 to 8, got 9", lambda: closeness(content, recent, offsets, item + 9, backend="gpu"))
    content[:] = torch.nan
    refused("NaN", lambda: closeness(content, recent, offsets, item, backend="gpu"))
    return "rows that are not there and NaN are named"


def empty(site: Site) -> str:
    for lengths in ([], [0, 0]):
        _same(_call(site, lengths, 5, 8, 2))
    return "no requests, no candidates"


def bench(site: Site) -> Bench:
    batch, each, items = site.size(256, 2), site.size(500, 40), site.size(1_000_000, 60)
    dim, recent = 64, site.size(20, 3)

    def padded(inputs: Inputs) -> Tensor:
        """Requests here have one number of candidates, and every recent item is there."""
        content, behaviours, _, item = inputs
        similar = content[item.view(batch, each)] @ content[behaviours.long()].transpose(1, 2)
        return torch.stack([similar.mean(2), similar.amax(2)], 2).flatten(0, 1)

    def check(inputs: Inputs, answer: Any) -> str:
        _within(answer, closeness(*inputs, backend="reference"), inputs)
        return "exact within float32 rounding"

    def compile_it(inputs: Inputs) -> Call:
        fast = compiled(site, padded)
        return lambda: fast(inputs)

    name = f"B{batch} n{each} L{recent} d{dim}"
    params: dict[str, Any] = {"batch": batch, "candidates": each, "recent": recent, "dim": dim, "items": items}
    least = work(batch * each, batch, recent, dim)
    case = Case("closeness", name, params, lambda: _call(site, [each] * batch, items, dim, recent, 0), check, least)
    providers = (
        provider(site, "headrace", "headrace", lambda inputs: lambda: closeness(*inputs, backend="gpu")),
        provider(site, "torch", "peer", lambda inputs: lambda: padded(inputs)),
        provider(site, COMPILED, "peer", compile_it),
    )
    return Bench("closeness", "closeness to recent items", (case,), providers)


PART = Part(
    ("closeness",),
    (
        Check("closeness", "awkward sizes", awkward),
        Check("closeness", "realistic size", realistic),
        Check("closeness", "empty", empty),
        Check("closeness", "refusals", refusals),
    ),
    bench,
)
