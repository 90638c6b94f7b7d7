"""Beam search on a GPU: against the reference, then beside the same search in plain torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from headrace.benchmarks.gpu.peers import COMPILED, compiled, provider, told
from headrace.benchmarks.gpu.site import Check, Part, Site, close, equal
from headrace.benchmarks.harness.case import Bench, Call, Case, Wrong
from headrace.kernels.beam_search import PathModel, beam_search
from headrace.kernels.beam_search.work import work

LEAST_RIGHT = 0.9
Inputs = tuple[PathModel, Tensor, int]


def _model(site: Site, depth: int, nodes: int, user_dim: int, embed_dim: int, hidden: int) -> PathModel:
    widths = [user_dim + d * embed_dim for d in range(depth)]
    return PathModel(
        site.normal(depth - 1, nodes, embed_dim, seed=1),
        [site.normal(hidden, width, seed=10 + d) / width**0.5 for d, width in enumerate(widths)],
        [site.normal(hidden, seed=20 + d) * 0.1 for d in range(depth)],
        [site.normal(nodes, hidden, seed=30 + d) * 2 / hidden**0.5 for d in range(depth)],
        [site.normal(nodes, seed=40 + d) * 0.1 for d in range(depth)],
    )


def _same(model: PathModel, user: Tensor, beam: int) -> None:
    found, expected = (beam_search(user, model, beam, backend=backend) for backend in ("gpu", "reference"))
    equal("paths", found[0], expected[0])
    close("log-probabilities", found[1], expected[1], 2**-23, 1e-12)


def awkward(site: Site) -> str:
    sizes = [
        (1, 1, 1, 1, 1, 3),
        (1, 33, 7, 1, 9, 40),
        (2, 65, 33, 3, 33, 17),
        (3, 7, 15, 4, 17, 16),
        (4, 3, 2, 1, 8, 100),
    ]
    for depth, nodes, user_dim, embed_dim, hidden, beam in sizes:
        _same(_model(site, depth, nodes, user_dim, embed_dim, hidden), site.normal(3, user_dim), beam)
    return f"paths equal at {len(sizes)} sizes, beams wider than there are paths among them"


def realistic(site: Site) -> str:
    nodes, user_dim, hidden = site.size(100, 9), site.size(64, 5), site.size(128, 8)
    _same(_model(site, 3, nodes, user_dim, 32, hidden), site.normal(site.size(65, 2), user_dim), site.size(50, 6))
    return f"paths equal, depth 3, K {nodes}"


def ties(site: Site) -> str:
    nodes = 7
    zeros = [torch.zeros(4, 1 + d, device=site.device) for d in range(2)]
    flat = [torch.zeros(4, device=site.device)] * 2
    out = [torch.zeros(nodes, 4, device=site.device)] * 2
    bias = [torch.zeros(nodes, device=site.device)] * 2
    model = PathModel(torch.zeros(1, nodes, 1, device=site.device), zeros, flat, out, bias)
    _same(model, torch.zeros(17, 1, device=site.device), 9)
    return "equal paths: the lower one first"


def strided(site: Site) -> str:
    _same(_model(site, 2, 5, 6, 2, 8), site.normal(6, 4).T, 4)
    return "transposed users"


def empty(site: Site) -> str:
    _same(_model(site, 2, 5, 3, 2, 4), site.normal(0, 3), 4)
    return "no users"


def not_finite(site: Site) -> str:
    model, user = _model(site, 2, 5, 3, 2, 4), site.normal(3, 3)
    good = beam_search(user, model, 4, backend="gpu")
    user[1, 0] = torch.nan
    paths, logp = beam_search(user, model, 4, backend="gpu")
    if not (bool((paths[1] == -1).all()) and bool(logp[1].isnan().all())):
        raise Wrong("a user that is not finite got paths")
    equal("paths of the others", paths[[0, 2]], good[0][[0, 2]])
    return "a user that is not finite gets no path, the others theirs"


def bench(site: Site) -> Bench:
    depth, nodes, hidden, user_dim = 3, site.size(1000, 9), site.size(128, 8), site.size(64, 5)
    batch, beam = site.size(64, 2), site.size(50, 5)

    def inputs() -> Inputs:
        return _model(site, depth, nodes, user_dim, 32, hidden), site.normal(batch, user_dim), beam

    params = {"batch": batch, "depth": depth, "nodes": nodes, "hidden": hidden, "user_dim": user_dim, "beam": beam}
    least = work(batch, user_dim, depth, nodes, hidden, beam)
    case = Case("beam_search", f"B{batch} D{depth} K{nodes} H{hidden} beam {beam}", dict(params), inputs, _check, least)
    providers = (
        provider(site, "headrace", "headrace", _ours),
        provider(site, "torch", "peer", lambda given: _plain(given, _search)),
        provider(site, COMPILED, "peer", lambda given: _plain(given, compiled(site, _search))),
    )
    return Bench("beam_search", "beam search", (case,), providers)


def _check(given: Inputs, answer: Any) -> str:
    """Paths of up to 4 users against the reference, as sets and in order; a float32 search may swap near ties."""
    model, user, beam = given
    sample = torch.linspace(0, len(user) - 1, min(4, len(user)), device=user.device).long()
    expected = beam_search(user[sample], model, beam, backend="reference")[0].long()
    found = answer[sample].long()
    right = float((found[:, :, None] == expected[:, None]).all(3).any(2).double().mean())
    if right < LEAST_RIGHT:
        raise Wrong(f"{right:.1%} of the paths right")
    return told(right, f"of the paths of {len(sample)} users", bool((found == expected).all()))


def _ours(given: Inputs) -> Call:
    model, user, beam = given
    return lambda: beam_search(user, model, beam, backend="gpu")[0]


def _plain(given: Inputs, search: Any) -> Call:
    model, user, beam = given
    return lambda: search(model.weights, user, beam)


def _search(weights: list[Tensor], user: Tensor, beam: int) -> Tensor:
    """Gao et al. (2021), algorithm 1, in float32: every layer scores all paths of all users by two products."""
    embeddings, hidden_bias, output, output_bias, *hidden = weights
    paths = user.new_zeros(len(user), 1, 0, dtype=torch.int64)
    logp = user.new_zeros(len(user), 1)
    known = user[:, None]
    for d, weight in enumerate(hidden):
        inner = torch.relu(known @ weight.T + hidden_bias[d])
        scores = (logp[:, :, None] + (inner @ output[d].T + output_bias[d]).log_softmax(2)).flatten(1)
        logp, best = scores.topk(min(beam, scores.shape[1]), dim=1)
        parent, node = best // len(output[d]), best % len(output[d])
        each = torch.arange(len(user), device=user.device)[:, None]
        paths = torch.cat([paths[each, parent], node[:, :, None]], 2)
        if d + 1 < len(hidden):
            known = torch.cat([known[each, parent], embeddings[d][node]], 2)
    return paths


PART = Part(
    ("beam_search",),
    (
        Check("beam_search", "awkward sizes", awkward),
        Check("beam_search", "realistic size", realistic),
        Check("beam_search", "ties", ties),
        Check("beam_search", "strided inputs", strided),
        Check("beam_search", "empty", empty),
        Check("beam_search", "not finite", not_finite),
    ),
    bench,
)
