"""The ranking network at the default funnel's sizes, beside torch as one trains it and over the same rows as ours.

Everyone is given the catalogue's features, each candidate's own, and what the network makes of a request; gathering
what belongs to a candidate is part of the call. torch.compile is left out: it took a minute for one size, and the
module was 1.1 times as fast as before.
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
from headrace.benchmarks.candidates import again, sample, within
from headrace.benchmarks.harness.case import Bench, Call, Case, Provider, Wrong
from headrace.benchmarks.harness.curves import THREADS, curves
from headrace.benchmarks.harness.keep import keep
from headrace.benchmarks.networks import BEHAVIOURS, DIM, DYNAMIC, REQUEST, REQUEST_WIDTH, Asked, Catalogue
from headrace.benchmarks.peers import mixture_torch
from headrace.kernels import MixtureModel, MixtureSizes, mixture_of_experts
from headrace.kernels.mixture_of_experts.work import work
from headrace.ranking.multitarget import RequestSide
from headrace.ranking.packed import mixture_model
from headrace.ranking.settings import RankerSettings

SIZES = MixtureSizes(targets=9, experts=3, hidden=64, units=32, head_units=16, dim=DIM, attention=True)
BASE = {"batch": 64, "each": 500}
AXES = {"batch": (1, 4, 16, 64, 256), "threads": THREADS}
#: Requests that torch over our rows takes at a time.
GROUP = 8
#: Of a target's largest logit: the roundings of sums of some 300 products add up as their root.
SLACK = 20 * 2.0**-24


@dataclass(frozen=True)
class Ranking:
    """side: what the network makes of each request."""

    catalogue: Catalogue
    network: mixture_torch.GivenRequests
    side: RequestSide
    asked: Asked

    @property
    def model(self) -> MixtureModel:
        return packed(len(self.catalogue.codes))

    def part(self, first: int, last: int) -> tuple[RequestSide, Asked]:
        """What belongs to requests first to last."""
        b, side, asked = slice(first, last), self.side, self.asked
        own = asked.offsets[first : last + 1]
        n = slice(int(own[0]), int(own[-1]))
        some = RequestSide(side.inputs[b], side.taste[b], side.sequence[b], side.present[b])
        return some, Asked(asked.request[b], own - own[0], asked.item[n], asked.ages[n], asked.dynamic[n])

    @cached_property
    def truth(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Positions, and their logits [T, positions] in float64: all inputs joined, layer by layer."""
        asked, catalogue, side = self.asked, self.catalogue, self.side
        at = sample(len(asked.item))
        owner = np.searchsorted(asked.offsets.numpy(), at, "right") - 1
        item = asked.item.numpy()[at]
        w = {name: weight.double().numpy() for name, weight in self.network.state_dict().items()}
        starts = self.network.item_fields.starts.numpy()
        fields = w["item_fields.table.weight"][catalogue.codes.numpy()[item] + starts]
        own = fields[:, 0]
        past = side.sequence.double().numpy()[owner]
        weight = np.exp(np.einsum("nld,nd->nl", past, own) / np.sqrt(DIM)) * side.present.numpy()[owner]
        attended = np.einsum("nl,nld->nd", weight / weight.sum(1, keepdims=True), past)
        statistics = np.concatenate([catalogue.item_statistics.numpy()[item], asked.dynamic.numpy()[at]], 1)
        content = catalogue.content.numpy()[item] @ w["content.weight"].T
        age = w["cross_fields.table.weight"][asked.ages.numpy()[at, 0]]
        taste = side.taste.double().numpy()[owner] * own
        joined = np.concatenate([fields.reshape(len(at), -1), age, statistics, content, attended, taste], 1)
        request = side.inputs.double().numpy()[owner]
        first = (
            joined @ w["first.candidate.weight"].T + w["first.candidate.bias"] + request @ w["first.request.weight"].T
        )
        gates, hidden = np.split(first, [SIZES.targets * SIZES.experts], 1)
        gates = np.exp(gates).reshape(len(at), SIZES.targets, SIZES.experts)
        hidden = np.maximum(hidden, 0).reshape(len(at), SIZES.experts, SIZES.hidden)
        vectors = np.maximum(np.einsum("neh,ehu->enu", hidden, w["second.weight"]) + w["second.bias"], 0)
        mixed = np.einsum("nte,enu->tnu", gates / gates.sum(2, keepdims=True), vectors)
        head = np.maximum(mixed @ w["head_in.weight"] + w["head_in.bias"], 0)
        logits = (head @ w["head_out.weight"] + w["head_out.bias"])[:, :, 0]
        wide = statistics @ w["wide.candidate.weight"].T + w["wide.candidate.bias"]
        return at, logits + (wide + request[:, -REQUEST:] @ w["wide.request.weight"].T).T


@keep()
def made(items: int) -> tuple[Catalogue, mixture_torch.GivenRequests]:
    catalogue = networks.make_catalogue(items)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = mixture_torch.GivenRequests(catalogue.spec, SIZES.targets, RankerSettings())
    networks.lively(network)
    return catalogue, network


@keep()
def packed(items: int) -> MixtureModel:
    catalogue, network = made(items)
    return mixture_model(network, catalogue.as_store)


def make_ranking(batch: int, each: int, items: int) -> Ranking:
    catalogue, network = made(items)
    generator = torch.Generator().manual_seed(5)
    asked = networks.make_asked(torch.arange(batch + 1) * each, items)
    past = torch.randint(1, items + 1, (batch, BEHAVIOURS), generator=generator)
    taste = torch.randn(batch, DIM, generator=generator)
    side = RequestSide(asked.request, taste, network.item_fields.one(past, 0), past > 0)
    return Ranking(catalogue, network, side, asked)


def check(ranking: Ranking, answer: Any) -> str:
    expected = SIZES.targets, len(ranking.asked.item)
    if not isinstance(answer, Tensor) or answer.shape != expected:
        raise Wrong(f"expected logits of shape {expected}")
    at, truth = ranking.truth
    return within(answer.numpy()[:, at], truth, SLACK * np.abs(truth).max(1, keepdims=True))


def prepare_headrace(ranking: Ranking, case: Case, backend: str) -> Call:
    side, asked, model = ranking.side, ranking.asked, ranking.model
    counts = side.present.sum(1, dtype=torch.int32)
    return lambda: mixture_of_experts(
        model,
        request=side.inputs,
        taste=side.taste,
        behaviours=side.sequence,
        counts=counts,
        offsets=asked.offsets,
        item=asked.item,
        codes=asked.ages,
        dynamic=asked.dynamic,
        backend=backend,
    )


def prepare_module(ranking: Ranking, case: Case) -> Call:
    network, asked, catalogue = ranking.network, ranking.asked, ranking.catalogue
    network.side = ranking.side

    def call() -> Tensor:
        with torch.inference_mode():
            logits: Tensor = network(asked.inputs(catalogue))
            return logits.T

    return call


def prepare_rows(ranking: Ranking, case: Case) -> Call:
    """GROUP requests at a time, whose numbers stay in the last cache."""
    model = ranking.model
    parts = [ranking.part(first, first + GROUP) for first in range(0, len(ranking.asked.request), GROUP)]

    def call() -> Tensor:
        with torch.inference_mode():
            return torch.cat([mixture_torch.rows(model, side, asked) for side, asked in parts], 1)

    return call


def _case(batch: int, each: int, items: int = 100_000) -> Case:
    least = work(SIZES, batch, batch * each, BEHAVIOURS, REQUEST_WIDTH, DYNAMIC)
    return Case(
        op="mixture_of_experts",
        name=f"B{batch} x {each} of {items // 1000}k items",
        params={"batch": batch, "each": each, "items": items},
        inputs=partial(make_ranking, batch, each, items),
        check=check,
        work=again(least, batch, each, items, 4 * SIZES.width),
    )


def _small(case: Case) -> bool:
    return case.params["batch"] == 1 and case.axis is None


BENCH = Bench(
    "mixture_of_experts",
    "Ranking by a mixture of experts",
    cases=(
        _case(64, 500),
        _case(1, 500),
        replace(_case(256, 500), suites=("full",)),
        *curves(_case, BASE, AXES),
    ),
    providers=(
        Provider("headrace", "headrace", partial(prepare_headrace, backend="auto")),
        Provider("reference", "reference", partial(prepare_headrace, backend="reference"), (), _small, "too slow"),
        Provider("torch", "peer", prepare_module),
        Provider("torch, rows", "peer", prepare_rows),
    ),
)
