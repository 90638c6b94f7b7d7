"""The three-tower pre-ranking network on a GPU: against the reference, then beside plain torch in float32."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from headrace.benchmarks.gpu.peers import COMPILED, compiled, provider
from headrace.benchmarks.gpu.site import Check, Part, Site, close, equal
from headrace.benchmarks.harness.case import Bench, Call, Case, Wrong
from headrace.kernels.three_towers import TowersModel, TowersSizes, three_towers
from headrace.kernels.three_towers.work import work

TOLERANCE = 1e-4
#: Tensors by the names of the op's arguments.
Arguments = dict[str, Any]
Inputs = tuple[TowersModel, Arguments]


def _model(site: Site, s: TowersSizes, request: int, items: int, codes: int, dynamic: int) -> TowersModel:
    def rows(count: int, seed: int, scale: float = 1.0, vector: bool = False) -> Tensor:
        cross, wide = (site.normal(count, width, seed=seed + n) * scale for n, width in enumerate((s.dim, s.targets)))
        return s.row(cross, wide, site.normal(count, s.dim, seed=seed + 2) if vector else None)

    inner = max(request, 1) ** -0.5
    return TowersModel(
        s,
        site.normal(request, s.tower_units, seed=1) * inner,
        site.normal(s.tower_units, seed=2),
        site.normal(s.tower_units, s.dim, seed=3) * s.tower_units**-0.5,
        site.normal(s.dim, seed=4),
        site.normal(s.dim, s.upper_units, seed=5) * s.dim**-0.5,
        site.normal(s.upper_units, seed=6),
        rows(request, 10, inner),
        rows(items, 20, vector=True),
        rows(codes, 30),
        rows(dynamic, 40, max(dynamic, 1) ** -0.5),
        site.normal(3 * s.dim, s.upper_units, seed=7) * (3 * s.dim) ** -0.5,
        site.normal(s.upper_units, s.targets, seed=8) * s.upper_units**-0.5,
    )


def _call(site: Site, model: TowersModel, lengths: list[int], fields: int) -> Arguments:
    n = sum(lengths)
    return {
        "request": site.normal(len(lengths), len(model.tower_weight), seed=1),
        "offsets": site.offsets(lengths),
        "item": site.integers(0, len(model.item_rows), n, seed=2),
        "codes": site.integers(0, len(model.code_rows), n, fields, seed=3).int(),
        "dynamic": site.normal(n, len(model.dynamic_weight), seed=4),
    }


def _same(model: TowersModel, call: Arguments) -> None:
    found, expected = (three_towers(model, **call, backend=backend) for backend in ("gpu", "reference"))
    close("logits", found, expected, TOLERANCE, TOLERANCE)


def awkward(site: Site) -> str:
    for sizes, request, dynamic, fields in (
        (TowersSizes(3, 5, 7, 6), 6, 4, 1),
        (TowersSizes(1, 1, 1, 1), 1, 1, 0),
        (TowersSizes(9, 33, 17, 20), 0, 0, 3),
    ):
        model = _model(site, sizes, request, 50, 7, dynamic)
        _same(model, _call(site, model, [7, 0, 33, 1, 2, 3], fields))
    return f"logits within {TOLERANCE:g} at 3 sizes"


def realistic(site: Site) -> str:
    sizes = TowersSizes(3, 8, 16, 8) if site.small else TowersSizes(9, 32, 64, 32)
    model = _model(site, sizes, site.size(84, 9), site.size(100_000, 30), 24, 10)
    call = _call(site, model, [site.size(3000, 40), 0, 65], 1)
    _same(model, call)
    return f"logits within {TOLERANCE:g} for {len(call['item'])} candidates"


def empty(site: Site) -> str:
    model = _model(site, TowersSizes(3, 5, 7, 6), 6, 50, 7, 4)
    for lengths in ([], [0, 0]):
        _same(model, _call(site, model, lengths, 1))
    return "no requests, no candidates"


def out_of_range(site: Site) -> str:
    model = _model(site, TowersSizes(3, 5, 7, 6), 6, 50, 7, 4)
    call = _call(site, model, [4, 3], 1)
    good = three_towers(model, **call, backend="gpu")
    call["item"][1], call["codes"][5] = 50, -1
    logits = three_towers(model, **call, backend="gpu")
    if not bool(logits[:, [1, 5]].isnan().all()):
        raise Wrong("a candidate that does not exist got logits")
    equal("logits of the others", logits[:, [0, 2, 3, 4, 6]], good[:, [0, 2, 3, 4, 6]])
    return "a candidate that does not exist gets NaN, the others theirs"


def bench(site: Site) -> Bench:
    sizes = TowersSizes(3, 8, 16, 8) if site.small else TowersSizes(9, 32, 64, 32)
    batch, each = site.size(64, 2), site.size(3000, 40)
    request, items, dynamic = site.size(84, 9), site.size(100_000, 30), 10

    def inputs() -> Inputs:
        model = _model(site, sizes, request, items, 24, dynamic)
        return model, _call(site, model, [each] * batch, 1)

    def check(given: Inputs, answer: Any) -> str:
        model, call = given
        close("logits", answer, three_towers(model, **call, backend="reference"), TOLERANCE, TOLERANCE)
        return f"exact within {TOLERANCE:g}"

    def ours(given: Inputs) -> Call:
        model, call = given
        return lambda: three_towers(model, **call, backend="gpu")

    def compile_it(given: Inputs) -> Call:
        fast = compiled(site, _plain)
        return lambda: fast(*given)

    params: dict[str, Any] = {"batch": batch, "candidates": each, "items": items}
    least = work(sizes, batch, batch * each, request, dynamic)
    case = Case("three_towers", f"B{batch} n{each} T{sizes.targets}", params, inputs, check, least)
    providers = (
        provider(site, "headrace", "headrace", ours),
        provider(site, "torch", "peer", lambda given: lambda: _plain(*given)),
        provider(site, COMPILED, "peer", compile_it),
    )
    return Bench("three_towers", "pre-ranking by three towers", (case,), providers)


def _plain(model: TowersModel, call: Arguments) -> Tensor:
    """The network as a user of torch writes it, with the same rows multiplied out."""
    s = model.sizes
    owner = torch.repeat_interleave(call["offsets"].diff(), output_size=len(call["item"]))
    tower = (call["request"] @ model.tower_weight + model.tower_bias).relu()
    user = tower @ model.vector_weight + model.vector_bias
    sums = (call["request"] @ model.request_weight)[owner] + model.item_rows[call["item"]]
    sums = sums + model.code_rows[call["codes"]].sum(1) + call["dynamic"] @ model.dynamic_weight
    vector, cross, wide = sums[:, : 2 * s.dim + s.targets].split([s.dim, s.dim, s.targets], 1)
    joined = torch.cat([vector, cross.relu(), vector * user[owner]], 1)
    hidden = (joined @ model.upper_weight + (user @ model.user_weight + model.upper_bias)[owner]).relu()
    logits: Tensor = (hidden @ model.last_weight + wide).T
    return logits


PART = Part(
    ("three_towers",),
    (
        Check("three_towers", "awkward sizes", awkward),
        Check("three_towers", "realistic size", realistic),
        Check("three_towers", "empty", empty),
        Check("three_towers", "out of range", out_of_range),
    ),
    bench,
)
