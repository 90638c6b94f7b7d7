"""The pre-ranking network at the default funnel's sizes, beside torch as one trains it and over the same rows as ours.

Everyone is given the catalogue's features, each candidate's own, and the inputs of the request tower; gathering what
belongs to a candidate is part of the call.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
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
from headrace.benchmarks.networks import DYNAMIC, REQUEST, REQUEST_WIDTH, Asked, Catalogue
from headrace.benchmarks.peers import towers_torch
from headrace.kernels import TowersModel, TowersSizes, three_towers
from headrace.kernels.three_towers.work import work
from headrace.ranking.packed import towers_model
from headrace.ranking.settings import PreRankerSettings

SIZES = TowersSizes(targets=8, dim=16, tower_units=64, upper_units=32)
BASE = {"batch": 64, "each": 1300}
AXES = {"batch": (1, 4, 16, 64, 256), "threads": THREADS}
#: Of a target's largest logit: the roundings of sums of some 300 products add up as their root.
SLACK = 20 * 2.0**-24


@dataclass(frozen=True)
class PreRanking:
    catalogue: Catalogue
    network: towers_torch.GivenRequests
    asked: Asked

    @property
    def model(self) -> TowersModel:
        return packed(len(self.catalogue.codes))

    @cached_property
    def truth(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Positions, and their logits [T, positions] in float64: every tower for every candidate."""
        asked, catalogue = self.asked, self.catalogue
        at = sample(len(asked.item))
        owner = np.searchsorted(asked.offsets.numpy(), at, "right") - 1
        item = asked.item.numpy()[at]
        w = {name: weight.double().numpy() for name, weight in self.network.state_dict().items()}

        def layer(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0))

        def tower(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
            return layer(f"{name}.2", np.maximum(layer(f"{name}.0", x), 0))

        request = asked.request.double().numpy()[owner]
        starts = self.network.item_fields.starts.numpy()
        fields = w["item_fields.table.weight"][catalogue.codes.numpy()[item] + starts].reshape(len(at), -1)
        statistics = np.concatenate([catalogue.item_statistics.numpy()[item], asked.dynamic.numpy()[at]], 1)
        age = w["cross_fields.table.weight"][asked.ages.numpy()[at, 0]]
        user = tower("request_mlp", request)
        own = tower("item_mlp", np.concatenate([fields, catalogue.content.numpy()[item]], 1))
        cross = np.maximum(layer("cross_mlp.0", np.concatenate([age, statistics], 1)), 0)
        joined = np.concatenate([own, cross, own * user], 1)
        upper = np.maximum(layer("first.request", user) + layer("first.candidate", joined), 0)
        wide = layer("wide.request", request[:, -REQUEST:]) + layer("wide.candidate", statistics)
        return at, (layer("last", upper) + wide).T


@keep()
def made(items: int) -> tuple[Catalogue, towers_torch.GivenRequests]:
    catalogue = networks.make_catalogue(items)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = towers_torch.GivenRequests(catalogue.spec, SIZES.targets, PreRankerSettings())
    networks.lively(network)
    return catalogue, network


@keep()
def packed(items: int) -> TowersModel:
    catalogue, network = made(items)
    return towers_model(network, catalogue.as_store)


def make_pre_ranking(batch: int, each: int, items: int) -> PreRanking:
    return PreRanking(*made(items), networks.make_asked(ragged(batch, each), items))


def check(ranking: PreRanking, answer: Any) -> str:
    expected = SIZES.targets, len(ranking.asked.item)
    if not isinstance(answer, Tensor) or answer.shape != expected:
        raise Wrong(f"expected logits of shape {expected}")
    at, truth = ranking.truth
    return within(answer.numpy()[:, at], truth, SLACK * np.abs(truth).max(1, keepdims=True))


def prepare_headrace(ranking: PreRanking, case: Case, backend: str) -> Call:
    asked, model = ranking.asked, ranking.model
    return lambda: three_towers(
        model,
        request=asked.request,
        offsets=asked.offsets,
        item=asked.item,
        codes=asked.ages,
        dynamic=asked.dynamic,
        backend=backend,
    )


def prepare_module(ranking: PreRanking, case: Case) -> Call:
    network, asked, catalogue = ranking.network, ranking.asked, ranking.catalogue
    network.side = asked.request

    def call() -> Tensor:
        with torch.inference_mode():
            logits: Tensor = network(asked.inputs(catalogue))
            return logits.T

    return call


def prepare_rows(ranking: PreRanking, case: Case) -> Call:
    model = ranking.model

    def call() -> Tensor:
        with torch.inference_mode():
            return towers_torch.rows(model, ranking.asked)

    return call


def _case(batch: int, each: int, items: int = 100_000) -> Case:
    least = work(SIZES, batch, batch * each, REQUEST_WIDTH, DYNAMIC)
    return Case(
        op="three_towers",
        name=f"B{batch} x {each} of {items // 1000}k items",
        params={"batch": batch, "each": each, "items": items},
        inputs=partial(make_pre_ranking, batch, each, items),
        check=check,
        work=again(least, batch, each, items, 4 * SIZES.width),
    )


def _small(case: Case) -> bool:
    return case.params["batch"] == 1 and case.axis is None


BENCH = Bench(
    "three_towers",
    "Pre-ranking by three towers",
    cases=(
        _case(64, 1300),
        _case(1, 1300),
        replace(_case(256, 1300), suites=("full",)),
        *curves(_case, BASE, AXES),
    ),
    providers=(
        Provider("headrace", "headrace", partial(prepare_headrace, backend="auto")),
        Provider("reference", "reference", partial(prepare_headrace, backend="reference"), (), _small, "too slow"),
        Provider("torch", "peer", prepare_module),
        Provider("torch, rows", "peer", prepare_rows),
    ),
)
