"""Greedy DPP on a GPU: against the reference, then beside a loop over picks in torch, all lists at once."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.benchmarks.gpu.lists import THETA, Inputs, batched, case, checks
from headrace.benchmarks.gpu.peers import COMPILED, compiled, provider
from headrace.benchmarks.gpu.site import Part, Site
from headrace.benchmarks.harness.case import Bench, Call
from headrace.kernels.diversity import dpp, dpp_picks
from headrace.kernels.diversity.work import dpp_work

EPS = 1e-6


def bench(site: Site) -> Bench:
    cases = tuple(case(site, "dpp", dpp_picks, dpp_work, batch) for batch in ((3,) if site.small else (1, 64, 1024)))

    def ours(given: Inputs) -> Call:
        vectors, rewards, offsets, k = given
        return lambda: dpp(vectors, rewards, offsets, k, THETA, backend="gpu")[0]

    providers = (
        provider(site, "headrace", "headrace", ours),
        provider(site, "torch", "peer", _eager),
        provider(site, COMPILED, "peer", lambda given: _compiled(site, given)),
    )
    return Bench("dpp", "greedy DPP", cases, providers)


def _eager(given: Inputs) -> Call:
    """Chen, Zhang, Zhou (2018) for all lists at once: one Cholesky column a pick, in float32."""
    v, r, each = batched(given)
    k = given[3]

    def call() -> Tensor:
        base = THETA * r
        d2 = v.square().sum(2)
        basis = v.new_zeros(len(v), k, v.shape[1])
        picked = torch.empty(len(v), k, dtype=torch.int64, device=v.device)
        for t in range(k):
            j = (base + (1 - THETA) * d2.clamp_min(EPS).log()).argmax(1)
            picked[:, t] = j
            base[each, j] = -torch.inf
            column = torch.bmm(v, v[each, j, :, None])[:, :, 0]
            column -= torch.bmm(basis[each, :t, j][:, None], basis[:, :t])[:, 0]
            column /= d2[each, j].clamp_min(EPS).sqrt()[:, None]
            basis[:, t] = column
            d2 = d2 - column.square()
        return picked

    return call


def _compiled(site: Site, given: Inputs) -> Call:
    """The same with one compiled step of one shape: columns that are still to come are zeros."""
    v, r, each = batched(given)
    k = given[3]

    def step(base: Tensor, d2: Tensor, basis: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        j = (base + (1 - THETA) * d2.clamp_min(EPS).log()).argmax(1)
        column = torch.einsum("bnd,bd->bn", v, v[each, j]) - torch.einsum("bkn,bk->bn", basis, basis[each, :, j])
        column = column / d2[each, j].clamp_min(EPS).sqrt()[:, None]
        taken = torch.arange(v.shape[1], device=v.device) == j[:, None]
        basis.index_copy_(1, t, column[:, None])
        return base.masked_fill(taken, -torch.inf), d2 - column.square(), basis, j

    fast = compiled(site, step)
    places = torch.arange(k, device=v.device).unbind()

    def call() -> Tensor:
        base, d2 = THETA * r, v.square().sum(2)
        basis = v.new_zeros(len(v), k, v.shape[1])
        picks = []
        for t in places:
            base, d2, basis, j = fast(base, d2, basis, t[None])
            picks.append(j)
        return torch.stack(picks, 1)

    return call


PART = Part(("dpp",), checks("dpp", dpp_picks), bench, weight=2.0)
