"""MMR on a GPU: against the reference, then beside a loop over picks in torch, all lists at once."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.benchmarks.gpu.lists import THETA, Inputs, batched, case, checks
from headrace.benchmarks.gpu.peers import COMPILED, compiled, provider
from headrace.benchmarks.gpu.site import Part, Site
from headrace.benchmarks.harness.case import Bench, Call
from headrace.kernels.diversity import mmr, mmr_picks
from headrace.kernels.diversity.work import mmr_work


def bench(site: Site) -> Bench:
    cases = tuple(case(site, "mmr", mmr_picks, mmr_work, batch) for batch in ((2,) if site.small else (64, 1024)))

    def ours(given: Inputs) -> Call:
        vectors, rewards, offsets, k = given
        return lambda: mmr(vectors, rewards, offsets, k, THETA, backend="gpu")[0]

    providers = (
        provider(site, "headrace", "headrace", ours),
        provider(site, "torch", "peer", lambda given: _loop(site, given, False)),
        provider(site, COMPILED, "peer", lambda given: _loop(site, given, True)),
    )
    return Bench("mmr", "maximal marginal relevance", cases, providers)


def _loop(site: Site, given: Inputs, compile_it: bool) -> Call:
    v, r, each = batched(given)
    k = given[3]

    def step(base: Tensor, peak: Tensor, j: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        taken = torch.arange(v.shape[1], device=v.device) == j[:, None]
        base = base.masked_fill(taken, -torch.inf)
        peak = torch.maximum(peak, torch.bmm(v, v[each, j, :, None])[:, :, 0])
        return base, peak, (base - (1 - THETA) * peak).argmax(1)

    advance = compiled(site, step) if compile_it else step

    def call() -> Tensor:
        base, peak, j = THETA * r, torch.full_like(r, -torch.inf), r.argmax(1)
        picks = [j]
        for _ in range(k - 1):
            base, peak, j = advance(base, peak, j)
            picks.append(j)
        return torch.stack(picks, 1)

    return call


PART = Part(("mmr",), checks("mmr", mmr_picks), bench)
