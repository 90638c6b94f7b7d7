"""Beam search over the paths of a Deep Retrieval model beside batched torch, as written first and as tuned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.benchmarks.harness.case import Bench, Call, Case, Near, Provider, Wrong
from headrace.benchmarks.harness.curves import THREADS, curves
from headrace.benchmarks.peers import beam_torch
from headrace.kernels import PathModel, beam_search
from headrace.kernels.beam_search.work import work
from headrace.models.blocks.path_network import PathNetwork

USER_DIM, EMBED_DIM, HIDDEN = 64, 32, 128
BASE = {"batch": 16, "depth": 3, "nodes": 100, "beam": 50}
AXES = {"batch": (1, 4, 16, 64, 256), "nodes": (100, 300, 1000), "beam": (10, 50, 200), "threads": THREADS}
#: Requests whose paths are checked, and the least share that a peer must have in place.
CHECKED, ENOUGH = 8, 0.9


@dataclass(frozen=True)
class Paths:
    """user: float32 [B, USER_DIM]."""

    user: Tensor
    network: PathNetwork
    beam: int

    @cached_property
    def checked(self) -> NDArray[np.int64]:
        return np.unique(np.linspace(0, len(self.user) - 1, CHECKED).astype(int))

    @cached_property
    def truth(self) -> NDArray[np.int64]:
        """int64 [checked, beam, depth]: layer by layer in float64, every input concatenated, every extension sorted."""
        return np.stack([self._best(self.user[int(b)].double().numpy()) for b in self.checked])

    def _best(self, user: NDArray[np.float64]) -> NDArray[np.int64]:
        net = self.network
        paths, total = np.zeros((1, 0), np.int64), np.zeros(1)
        for d, both in enumerate(beam_torch.layers(net)):
            w1, b1, w2, b2 = (p.detach().double().numpy() for layer in both for p in (layer.weight, layer.bias))
            known = [net.embeddings[layer].detach().double().numpy()[paths[:, layer]] for layer in range(d)]
            x = np.concatenate([np.tile(user, (len(paths), 1)), *known], axis=1)
            logits = np.maximum(x @ w1.T + b1, 0) @ w2.T + b2
            logits -= logits.max(1, keepdims=True)
            scores = total[:, None] + logits - np.log(np.exp(logits).sum(1, keepdims=True))
            grown = np.concatenate(
                [paths.repeat(net.nodes, 0), np.tile(np.arange(net.nodes), len(paths))[:, None]], axis=1
            )
            order = np.argsort(-scores.ravel(), kind="stable")[: self.beam]
            paths, total = grown[order], scores.ravel()[order]
        return paths


def make_paths(batch: int, depth: int, nodes: int, beam: int) -> Paths:
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = PathNetwork(USER_DIM, nodes, depth, EMBED_DIM, HIDDEN).requires_grad_(False)
    for _, output in beam_torch.layers(network):
        output.weight.mul_(4)  # a trained model tells nodes apart; a fresh one hardly does
    return Paths(torch.randn(batch, USER_DIM, generator=generator), network, beam)


def check(paths: Paths, answer: Any) -> str:
    shape = (len(paths.user), paths.beam, paths.network.depth)
    got = np.asarray(answer)
    if got.shape != shape:
        raise Wrong(f"expected paths of shape {shape}, got {got.shape}")
    share = float((got[paths.checked] == paths.truth).all(2).mean())
    if share == 1:
        return "exact"
    if share < ENOUGH:
        raise Wrong(f"only {share:.1%} of the paths are a brute force's, in their place")
    return Near(share, "of paths in place")


def prepare_headrace(paths: Paths, case: Case, backend: str) -> Call:
    model = PathModel.from_module(paths.network)
    return lambda: beam_search(paths.user, model, paths.beam, backend=backend)[0]


def prepare_torch(paths: Paths, case: Case) -> Call:
    return lambda: beam_torch.concatenated(paths.user, paths.network, paths.beam)


def prepare_tables(paths: Paths, case: Case) -> Call:
    search = beam_torch.Tables(paths.network)
    return lambda: search(paths.user, paths.beam)


def _case(batch: int, depth: int, nodes: int, beam: int = 50) -> Case:
    return Case(
        op="beam_search",
        name=f"B{batch} D{depth} K{nodes} beam {beam}",
        params={"batch": batch, "depth": depth, "nodes": nodes, "beam": beam},
        inputs=partial(make_paths, batch, depth, nodes, beam),
        check=check,
        work=work(batch, USER_DIM, depth, nodes, HIDDEN, beam),
    )


def _small(case: Case) -> bool:
    return case.params["batch"] == 1


BENCH = Bench(
    "beam_search",
    "Beam search over paths",
    cases=(
        _case(1, 3, 100),
        _case(64, 3, 100),
        _case(16, 2, 1000),
        replace(_case(256, 3, 100), suites=("full",)),
        *curves(_case, BASE, AXES),
    ),
    providers=(
        Provider("headrace", "headrace", partial(prepare_headrace, backend="auto")),
        Provider("reference", "reference", partial(prepare_headrace, backend="reference"), (), _small, "too slow"),
        Provider("torch", "peer", prepare_torch),
        Provider("torch, tables", "peer", prepare_tables),
    ),
)
