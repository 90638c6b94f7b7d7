"""The mixture-of-experts ranking network on a GPU: against the reference, then beside plain torch in float32."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from headrace.benchmarks.gpu.peers import COMPILED, compiled, provider
from headrace.benchmarks.gpu.site import Check, Part, Site, close, equal
from headrace.benchmarks.harness.case import Bench, Call, Case, Wrong
from headrace.kernels.mixture_of_experts import MixtureModel, MixtureSizes, mixture_of_experts
from headrace.kernels.mixture_of_experts.work import work
from headrace.kernels.rows import filled

TOLERANCE = 1e-4
#: Tensors by the names of the op's arguments.
Arguments = dict[str, Any]
Inputs = tuple[MixtureModel, Arguments]


def _model(site: Site, s: MixtureSizes, request: int, items: int, codes: int, dynamic: int) -> MixtureModel:
    def rows(count: int, seed: int, scale: float = 1.0, embedding: bool = False) -> Tensor:
        widths = (s.targets * s.experts, s.targets, s.experts * s.hidden)
        gates, wide, hidden = (site.normal(count, width, seed=seed + n) * scale for n, width in enumerate(widths))
        return s.row(gates, wide, hidden, site.normal(count, s.dim, seed=seed + 3) if embedding else None)

    inputs = s.dim * (1 + s.attention) + dynamic
    return MixtureModel(
        s,
        rows(request, 10, max(request, 1) ** -0.5),
        rows(items, 20, embedding=True),
        rows(codes, 30),
        rows(inputs, 40, inputs**-0.5),
        site.normal(s.experts, s.hidden, s.units, seed=50) * s.hidden**-0.5,
        site.normal(s.experts, s.units, seed=51),
        site.normal(s.targets, s.units, s.head_units, seed=52) * s.units**-0.5,
        site.normal(s.targets, s.head_units, seed=53),
        site.normal(s.targets, s.head_units, seed=54),
        site.normal(s.targets, seed=55),
    )


def _call(site: Site, model: MixtureModel, lengths: list[int], longest: int, fields: int) -> Arguments:
    batch, n, dim = len(lengths), sum(lengths), model.sizes.dim
    return {
        "request": site.normal(batch, len(model.request_weight), seed=1),
        "taste": site.normal(batch, dim, seed=2),
        "behaviours": site.normal(batch, longest, dim, seed=3),
        "counts": (torch.arange(batch, device=site.device) % (longest + 1)).int(),
        "offsets": site.offsets(lengths),
        "item": site.integers(0, len(model.item_rows), n, seed=4),
        "codes": site.integers(0, len(model.code_rows), n, fields, seed=5).int(),
        "dynamic": site.normal(n, model.dynamic_width, seed=6),
    }


def _same(model: MixtureModel, call: Arguments) -> None:
    found, expected = (mixture_of_experts(model, **call, backend=backend) for backend in ("gpu", "reference"))
    close("logits", found, expected, TOLERANCE, TOLERANCE)


def awkward(site: Site) -> str:
    small = _model(site, MixtureSizes(3, 2, 9, 5, 4, 3, True), 6, 50, 7, 4)
    _same(small, _call(site, small, [7, 0, 33, 1, 2, 3], 5, 1))
    plain = _model(site, MixtureSizes(4, 3, 17, 16, 7, 5, False), 0, 50, 3, 0)
    _same(plain, _call(site, plain, [16, 1], 0, 2))
    least = _model(site, MixtureSizes(1, 1, 1, 1, 1, 1, True), 1, 1, 1, 1)
    _same(least, _call(site, least, [1], 1, 0))
    return f"logits within {TOLERANCE:g}, with and without attention"


def realistic(site: Site) -> str:
    sizes = MixtureSizes(9, 3, 64, 32, 16, 8, True) if not site.small else MixtureSizes(2, 2, 16, 8, 4, 4, True)
    model = _model(site, sizes, site.size(84, 9), site.size(100_000, 30), 24, 10)
    call = _call(site, model, [site.size(500, 20), 0, 65], site.size(20, 3), 1)
    _same(model, call)
    return f"logits within {TOLERANCE:g} for {len(call['item'])} candidates"


def empty(site: Site) -> str:
    model = _model(site, MixtureSizes(3, 2, 9, 5, 4, 3, True), 6, 50, 7, 4)
    for lengths in ([], [0, 0]):
        _same(model, _call(site, model, lengths, 5, 1))
    return "no requests, no candidates"


def out_of_range(site: Site) -> str:
    model = _model(site, MixtureSizes(3, 2, 9, 5, 4, 3, True), 6, 50, 7, 4)
    call = _call(site, model, [4, 3], 5, 1)
    good = mixture_of_experts(model, **call, backend="gpu")
    call["item"][1], call["codes"][5] = 50, -1
    logits = mixture_of_experts(model, **call, backend="gpu")
    if not bool(logits[:, [1, 5]].isnan().all()):
        raise Wrong("a candidate that does not exist got logits")
    equal("logits of the others", logits[:, [0, 2, 3, 4, 6]], good[:, [0, 2, 3, 4, 6]])
    return "a candidate that does not exist gets NaN, the others theirs"


def bench(site: Site) -> Bench:
    sizes = MixtureSizes(2, 2, 16, 8, 4, 4, True) if site.small else MixtureSizes(9, 3, 64, 32, 16, 8, True)
    batch, each, longest = site.size(64, 2), site.size(500, 20), site.size(20, 3)
    request, items, dynamic = site.size(84, 9), site.size(100_000, 30), 10

    def inputs() -> Inputs:
        model = _model(site, sizes, request, items, 24, dynamic)
        return model, _call(site, model, [each] * batch, longest, 1)

    def check(given: Inputs, answer: Any) -> str:
        model, call = given
        close("logits", answer, mixture_of_experts(model, **call, backend="reference"), TOLERANCE, TOLERANCE)
        return f"exact within {TOLERANCE:g}"

    def ours(given: Inputs) -> Call:
        model, call = given
        return lambda: mixture_of_experts(model, **call, backend="gpu")

    def compile_it(given: Inputs) -> Call:
        fast = compiled(site, _plain)
        return lambda: fast(*given)

    params: dict[str, Any] = {"batch": batch, "candidates": each, "behaviours": longest, "items": items}
    least = work(sizes, batch, batch * each, longest, request, dynamic)
    case = Case("mixture_of_experts", f"B{batch} n{each} T{sizes.targets}", params, inputs, check, least)
    providers = (
        provider(site, "headrace", "headrace", ours),
        provider(site, "torch", "peer", lambda given: lambda: _plain(*given)),
        provider(site, COMPILED, "peer", compile_it),
    )
    return Bench("mixture_of_experts", "ranking by a mixture of experts", (case,), providers)


def _plain(model: MixtureModel, call: Arguments) -> Tensor:
    """The network as a user of torch writes it, with the same rows multiplied out."""
    s, offsets = model.sizes, call["offsets"]
    owner = torch.repeat_interleave(offsets.diff(), output_size=len(call["item"]))
    rows = model.item_rows[call["item"]]
    at = s.targets * s.experts + s.targets
    query = rows[:, at : at + s.dim]
    keys, counts = call["behaviours"][owner], call["counts"][owner]
    absent = torch.arange(keys.shape[1], device=keys.device) >= counts[:, None]
    weight = (keys @ query[:, :, None])[:, :, 0].mul(s.dim**-0.5).masked_fill(absent, -torch.inf).softmax(1)
    attended = (weight.masked_fill(absent, 0.0)[:, None] @ keys)[:, 0]
    joined = torch.cat([call["taste"][owner] * query, attended, call["dynamic"]], 1)
    first = (call["request"] @ model.request_weight)[owner] + rows + model.code_rows[call["codes"]].sum(1)
    first = first + joined @ model.candidate_weight
    gates = first[:, : s.targets * s.experts].unflatten(1, (s.targets, s.experts)).softmax(2)
    start = first.shape[1] - filled(s.experts * s.hidden)
    hidden = first[:, start : start + s.experts * s.hidden].relu().unflatten(1, (s.experts, s.hidden))
    vectors = (torch.einsum("neh,ehu->neu", hidden, model.expert_weight) + model.expert_bias).relu()
    head = torch.einsum("ntu,tuh->nth", gates @ vectors, model.head_weight) + model.head_bias
    wide = first[:, s.targets * s.experts : at]
    logits: Tensor = (torch.einsum("nth,th->nt", head.relu(), model.out_weight) + model.out_bias + wide).T
    return logits


PART = Part(
    ("mixture_of_experts",),
    (
        Check("mixture_of_experts", "awkward sizes", awkward),
        Check("mixture_of_experts", "realistic size", realistic),
        Check("mixture_of_experts", "empty", empty),
        Check("mixture_of_experts", "out of range", out_of_range),
    ),
    bench,
)
