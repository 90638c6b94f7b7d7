"""Network programs on a GPU: against the reference, then two ranking networks beside plain torch in float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from headrace.benchmarks.gpu.network_programs import Sizes, every_instruction, mixture, towers
from headrace.benchmarks.gpu.peers import COMPILED, compiled, provider
from headrace.benchmarks.gpu.site import Check, Part, Site, close, equal
from headrace.benchmarks.harness.case import Bench, Call, Case, Wrong
from headrace.kernels.network import Program, network
from headrace.kernels.network.work import work

TOLERANCE = 1e-4
#: Tensors by the names of the op's arguments.
Arguments = dict[str, Any]
Plain = Callable[[Sizes, Program, dict[str, Tensor], Arguments], Tensor]

SMALL = Sizes(3, 2, 9, 5, 4, 3, 6, 4, 50, 7)


@dataclass(frozen=True)
class Ranked:
    """A network, its weights by name, and a call of it."""

    sizes: Sizes
    program: Program
    weights: dict[str, Tensor]
    call: Arguments


def _call(site: Site, program: Program, lengths: list[int], longest: Sequence[int] = ()) -> Arguments:
    batch, n = len(lengths), sum(lengths)
    everyone = torch.arange(batch, device=site.device)
    return {
        "request": site.normal(batch, program.request_inputs, seed=11),
        "offsets": site.offsets(lengths),
        "item": site.integers(0, len(program.item_rows), n, seed=12),
        "codes": site.integers(0, len(program.code_rows), n, program.fields, seed=13).int(),
        "pair": site.normal(n, program.pair_inputs, seed=14),
        "sequences": [
            (site.normal(batch, most, width, seed=15 + number), (everyone % (most + 1)).int())
            for number, (most, width) in enumerate(zip(longest, program.sequences, strict=True))
        ],
    }


def _same(program: Program, call: Arguments) -> None:
    found, expected = (network(program, **call, backend=backend) for backend in ("gpu", "reference"))
    close("logits", found, expected, TOLERANCE, TOLERANCE)


def instructions(site: Site) -> str:
    program = every_instruction(site)
    _same(program, _call(site, program, [7, 0, 33, 1, 2, 3], (4, 7)))
    return f"{program.pair.columns} columns within {TOLERANCE:g}"


def awkward(site: Site) -> str:
    for sizes in (SMALL, Sizes(1, 1, 1, 1, 1, 1, 1, 1, 1, 1), Sizes(9, 3, 33, 17, 20, 31, 18, 7, 50)):
        for make, longest in ((mixture, (5,)), (towers, ())):
            program, _ = make(site, sizes)
            _same(program, _call(site, program, [7, 0, 33, 1, 2, 3], longest))
    return f"logits within {TOLERANCE:g} at 3 sizes of 2 networks"


def realistic(site: Site) -> str:
    count = 0
    for make, sizes, each, longest in _cases(site):
        program, _ = make(site, sizes)
        call = _call(site, program, [each, 0, 65], longest)
        _same(program, call)
        count += len(call["item"])
    return f"logits within {TOLERANCE:g} for {count} candidates"


def empty(site: Site) -> str:
    program, _ = mixture(site, SMALL)
    for lengths in ([], [0, 0]):
        _same(program, _call(site, program, lengths, (5,)))
    return "no requests, no candidates"


def out_of_range(site: Site) -> str:
    program, _ = mixture(site, SMALL)
    call = _call(site, program, [4, 3], (5,))
    good = network(program, **call, backend="gpu")
    call["item"][1], call["codes"][5] = 50, -1
    logits = network(program, **call, backend="gpu")
    if not bool(logits[[1, 5]].isnan().all()):
        raise Wrong("a candidate that does not exist got logits")
    equal("logits of the others", logits[[0, 2, 3, 4, 6]], good[[0, 2, 3, 4, 6]])
    return "a candidate that does not exist gets NaN, the others theirs"


def captured(site: Site) -> str:
    program, _ = mixture(site, SMALL)
    call = _call(site, program, [40, 0, 3], (5,))
    good = network(program, **call, backend="gpu")
    if site.device.type != "cuda":
        return "no graphs without a GPU"
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = network(program, **call, backend="gpu")
    graph.replay()
    equal("logits of a graph", logits, good)
    return "a CUDA graph gives the same bits"


def _cases(site: Site) -> tuple[tuple[Any, Sizes, int, tuple[int, ...]], ...]:
    """What makes a network, its sizes, candidates of a request, entries of its sequences: a ranking, a pre-ranking."""
    if site.small:
        return (mixture, SMALL, 20, (3,)), (towers, SMALL, 40, ())
    ranking, pre_ranking = Sizes(9, 3, 64, 32, 16, 8, 84, 10, 100_000), Sizes(9, 1, 64, 32, 1, 32, 84, 10, 100_000)
    return (mixture, ranking, 500, (20,)), (towers, pre_ranking, 3000, ())


def bench(site: Site) -> Bench:
    def ours(given: Ranked) -> Call:
        return lambda: network(given.program, **given.call, backend="gpu")

    def torch_of(given: Ranked) -> Call:
        plain = _plain(given)
        return lambda: plain(given.sizes, given.program, given.weights, given.call)

    def compile_it(given: Ranked) -> Call:
        fast = compiled(site, _plain(given))
        return lambda: fast(given.sizes, given.program, given.weights, given.call)

    providers = (
        provider(site, "headrace", "headrace", ours),
        provider(site, "torch", "peer", torch_of),
        provider(site, COMPILED, "peer", compile_it),
    )
    return Bench(
        "network", "ranking networks as programs", tuple(_case(site, *case) for case in _cases(site)), providers
    )


def _case(site: Site, make: Any, sizes: Sizes, each: int, longest: tuple[int, ...]) -> Case:
    batch, name = site.size(64, 2), make.__name__

    def inputs() -> Ranked:
        program, weights = make(site, sizes)
        return Ranked(sizes, program, weights, _call(site, program, [each] * batch, longest))

    def check(given: Ranked, answer: Any) -> str:
        close("logits", answer, network(given.program, **given.call, backend="reference"), TOLERANCE, TOLERANCE)
        return f"exact within {TOLERANCE:g}"

    params: dict[str, Any] = {"network": name, "batch": batch, "candidates": each, "items": sizes.items}
    # What a candidate takes does not depend on how many items there are.
    counted, _ = make(site, replace(sizes, items=1))
    least = work(counted, batch, batch * each, longest)
    return Case("network", f"{name} B{batch} n{each} T{sizes.targets}", params, inputs, check, least)


def _plain(given: Ranked) -> Plain:
    return plain_mixture if given.program.sequences else plain_towers


def plain_mixture(s: Sizes, program: Program, weights: dict[str, Tensor], call: Arguments) -> Tensor:
    """The mixture as a user of torch writes it, with the same rows multiplied out."""
    owner = torch.repeat_interleave(call["offsets"].diff(), output_size=len(call["item"]))
    request, taste = call["request"].split([s.request, s.dim], 1)
    rows, query = program.item_rows[call["item"]].split([s.first, s.dim], 1)
    entries, counts = call["sequences"][0]
    keys = entries[owner]
    absent = torch.arange(keys.shape[1], device=keys.device) >= counts[owner][:, None]
    weight = (keys @ query[:, :, None])[:, :, 0].mul(s.dim**-0.5).masked_fill(absent, -torch.inf).softmax(1)
    attended = (weight.masked_fill(absent, 0.0)[:, None] @ keys)[:, 0]
    own = torch.cat([taste[owner] * query, attended, call["pair"]], 1)
    first = (request @ weights["request"])[owner] + rows + program.code_rows[call["codes"]].sum(1)
    first = first + own @ weights["candidate"]
    gates, linear, hidden = first.split([s.targets * s.experts, s.targets, s.experts * s.hidden], 1)
    gates = gates.unflatten(1, (s.targets, s.experts)).softmax(2)
    hidden = hidden.relu().unflatten(1, (s.experts, s.hidden))
    vectors = (torch.einsum("neh,ehu->neu", hidden, weights["expert"]) + weights["expert bias"]).relu()
    head = torch.einsum("ntu,tuh->nth", gates @ vectors, weights["head"]).relu()
    logits: Tensor = linear + torch.einsum("nth,tho->nt", head, weights["last"])
    return logits


def plain_towers(s: Sizes, program: Program, weights: dict[str, Tensor], call: Arguments) -> Tensor:
    """The towers as a user of torch writes them, with the same rows multiplied out."""
    owner = torch.repeat_interleave(call["offsets"].diff(), output_size=len(call["item"]))
    user = (call["request"] @ weights["tower"]).relu() @ weights["user"]
    vector, cross = program.item_rows[call["item"]].split([s.dim, s.dim], 1)
    cross = (cross + program.code_rows[call["codes"]].sum(1) + call["pair"] @ weights["dynamic"]).relu()
    upper = (user @ weights["start"])[owner] + cross @ weights["cross"] + vector @ weights["vector"]
    logits: Tensor = (upper + (vector * user[owner]) @ weights["product"]).relu() @ weights["last"]
    return logits


PART = Part(
    ("network",),
    (
        Check("network", "every instruction", instructions),
        Check("network", "awkward sizes", awkward),
        Check("network", "realistic size", realistic),
        Check("network", "empty", empty),
        Check("network", "out of range", out_of_range),
        Check("network", "CUDA graph", captured),
    ),
    bench,
)
