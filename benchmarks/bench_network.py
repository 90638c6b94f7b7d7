"""One kernel for every ranking network, at the default funnel's sizes, beside torch: as the network is trained, each
candidate by itself, and as one serves the default two, what is of a request once a request.

Everyone is given the columns of requests, of the catalogue and of pairs; gathering what belongs to a candidate is part
of the call.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.benchmarks import networks
from headrace.benchmarks.candidates import again, ragged, sample, within
from headrace.benchmarks.harness.case import Bench, Call, Case, Provider, Wrong
from headrace.benchmarks.harness.curves import THREADS, curves
from headrace.benchmarks.harness.keep import keep
from headrace.benchmarks.networks import BEHAVIOURS, TARGETS, Asked, Catalogue
from headrace.benchmarks.peers.networks_torch import PEERS
from headrace.kernels.network import Program
from headrace.kernels.network.work import work

BASE = {"batch": 64, "each": 500}
WIDE = {"batch": 64, "each": 1300}
AXES = {"batch": (1, 4, 16, 64, 256), "threads": THREADS}
#: Of a target's largest logit: the roundings of sums of some 300 products add up as their root.
SLACK = 20 * 2.0**-24


@dataclass(frozen=True)
class Ranking:
    model: str
    catalogue: Catalogue
    asked: Asked

    @cached_property
    def truth(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Positions, and their logits [positions, T]: the network itself in float64, candidate by candidate."""
        at = sample(len(self.asked.item))
        rows = self.asked.rows(self.catalogue.items, torch.from_numpy(at))
        double = {name: column.double() if column.is_floating_point() else column for name, column in rows.items()}
        with torch.inference_mode():
            logits = copy.deepcopy(self.catalogue.network).double()(double)
        return at, logits.numpy()


@keep(3)
def made(model: str, items: int) -> Catalogue:
    return networks.make_catalogue(model, items)


def make_ranking(model: str, batch: int, each: int, items: int) -> Ranking:
    catalogue = made(model, items)
    offsets = ragged(batch, each) if model == "three_towers" else torch.arange(batch + 1) * each
    return Ranking(model, catalogue, networks.make_asked(catalogue.columns, offsets, items))


def check(ranking: Ranking, answer: Any) -> str:
    expected = len(ranking.asked.item), TARGETS[ranking.model]
    if not isinstance(answer, Tensor) or answer.shape != expected:
        raise Wrong(f"expected logits of shape {expected}")
    at, truth = ranking.truth
    return within(answer.numpy()[at], truth, SLACK * np.abs(truth).max(0, keepdims=True))


def prepare_headrace(ranking: Ranking, case: Case, backend: str) -> Call:
    ready, asked = ranking.catalogue.ready, ranking.asked
    return lambda: ready(asked.requests, asked.pairs, asked.offsets, asked.item, backend=backend)


def prepare_module(ranking: Ranking, case: Case) -> Call:
    network, asked, items = ranking.catalogue.network, ranking.asked, ranking.catalogue.items
    every = torch.arange(len(asked.item))

    def call() -> Tensor:
        with torch.inference_mode():
            return network(asked.rows(items, every))  # type: ignore[no-any-return]

    return call


def prepare_staged(ranking: Ranking, case: Case) -> Call:
    asked = ranking.asked
    with torch.inference_mode():
        staged = PEERS[ranking.model](ranking.catalogue.network, ranking.catalogue.items)

    def call() -> Tensor:
        with torch.inference_mode():
            return staged(asked.requests, asked.pairs, asked.owner, asked.item)

    return call


def _case(batch: int, each: int, items: int = 100_000, *, model: str = "mmoe") -> Case:
    program = _program(model)
    least = work(program, batch, batch * each, [BEHAVIOURS] * len(program.sequences))
    return Case(
        op="network",
        name=f"{model} B{batch} x {each} of {items // 1000}k items",
        params={"model": model, "batch": batch, "each": each, "items": items},
        inputs=partial(make_ranking, model, batch, each, items),
        check=check,
        work=again(least, batch, each, items, 4 * program.item_rows.shape[1]),
    )


@cache
def _program(model: str) -> Program:
    """The program over a few items: the least work does not depend on how many a catalogue has."""
    return networks.make_catalogue(model, 8).ready.program


def _small(case: Case) -> bool:
    return case.params["batch"] == 1 and case.axis is None


def _peer(case: Case) -> bool:
    return case.params["model"] in PEERS


_towers, _crosses = partial(_case, model="three_towers"), partial(_case, model="dcn_v2")
BENCH = Bench(
    "network",
    "Ranking by any network",
    cases=(
        _case(64, 500),
        _case(1, 500),
        _towers(64, 1300),
        _towers(1, 1300),
        _crosses(64, 500),
        replace(_case(256, 500), suites=("full",)),
        replace(_towers(256, 1300), suites=("full",)),
        *curves(_case, BASE, AXES),
        *curves(_towers, WIDE, AXES),
    ),
    providers=(
        Provider("headrace", "headrace", partial(prepare_headrace, backend="auto")),
        Provider("reference", "reference", partial(prepare_headrace, backend="reference"), (), _small, "too slow"),
        Provider("torch", "peer", prepare_module),
        Provider("torch, staged", "peer", prepare_staged, (), _peer, "written for the default two"),
    ),
)
