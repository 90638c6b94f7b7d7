"""One kernel for every ranking network: the default funnel's two as programs, beside the kernels written for each and
the same peers. See `bench_mixture_of_experts` and `bench_three_towers`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from headrace.benchmarks import bench_mixture_of_experts as mixture
from headrace.benchmarks import bench_three_towers as towers
from headrace.benchmarks.harness.case import Bench, Call, Case, Provider
from headrace.benchmarks.harness.curves import THREADS, curves
from headrace.benchmarks.harness.keep import keep
from headrace.benchmarks.network_programs import mixture_call, mixture_program, towers_call, towers_program
from headrace.benchmarks.networks import Asked
from headrace.kernels import Program, network

AXES = {"batch": (1, 4, 16, 64, 256), "threads": THREADS}


@dataclass(frozen=True)
class Ranked:
    """One of the two rankings, with the arguments of its program."""

    of: ModuleType
    ranking: mixture.Ranking | towers.PreRanking
    program: Program
    arguments: dict[str, Any]


@keep()
def mixture_of(items: int) -> Program:
    return mixture_program(mixture.packed(items), fields=1)


@keep()
def towers_of(items: int) -> Program:
    return towers_program(towers.packed(items), fields=1)


def make_mixture(batch: int, each: int, items: int) -> Ranked:
    ranking = mixture.make_ranking(batch, each, items)
    side, asked = ranking.side, ranking.asked
    given = {"request": side.inputs, "taste": side.taste, "behaviours": side.sequence}
    given["counts"] = side.present.sum(1, dtype=torch.int32)
    return Ranked(mixture, ranking, mixture_of(items), mixture_call({**given, **candidates(asked)}))


def make_towers(batch: int, each: int, items: int) -> Ranked:
    ranking = towers.make_pre_ranking(batch, each, items)
    given = {"request": ranking.asked.request, **candidates(ranking.asked)}
    return Ranked(towers, ranking, towers_of(items), towers_call(given))


def candidates(asked: Asked) -> dict[str, Tensor]:
    return {"offsets": asked.offsets, "item": asked.item, "codes": asked.ages, "dynamic": asked.dynamic}


def check(ranked: Ranked, answer: Any) -> str:
    words: str = ranked.of.check(ranked.ranking, answer)
    return words


def prepare_headrace(ranked: Ranked, case: Case, backend: str) -> Call:
    program, arguments = ranked.program, ranked.arguments
    return lambda: network(program, **arguments, backend=backend).T


def prepare_as(name: str) -> Callable[[Ranked, Case], Call]:
    """A provider of the ranking's own benchmark."""

    def prepare(ranked: Ranked, case: Case) -> Call:
        call: Call = getattr(ranked.of, name)(ranked.ranking, case)
        return call

    return prepare


def prepare_own(ranked: Ranked, case: Case) -> Call:
    call: Call = ranked.of.prepare_headrace(ranked.ranking, case, "auto")
    return call


def _case(batch: int, each: int, items: int = 100_000, *, pre_ranking: bool = False) -> Case:
    of, make = (towers, make_towers) if pre_ranking else (mixture, make_mixture)
    like: Case = of._case(batch, each, items)
    name = "three towers" if pre_ranking else "mixture"
    return replace(
        like,
        op="network",
        name=f"{name} {like.name}",
        params={"network": name, **like.params},
        inputs=partial(make, batch, each, items),
        check=check,
    )


def _small(case: Case) -> bool:
    return case.params["batch"] == 1 and case.axis is None


_towers = partial(_case, pre_ranking=True)
BENCH = Bench(
    "network",
    "Ranking by any network",
    cases=(
        _case(64, 500),
        _case(1, 500),
        _towers(64, 1300),
        _towers(1, 1300),
        replace(_case(256, 500), suites=("full",)),
        replace(_towers(256, 1300), suites=("full",)),
        *curves(_case, mixture.BASE, AXES),
        *curves(_towers, towers.BASE, AXES),
    ),
    providers=(
        Provider("headrace", "headrace", partial(prepare_headrace, backend="auto")),
        Provider("its own kernel", "peer", prepare_own),
        Provider("reference", "reference", partial(prepare_headrace, backend="reference"), (), _small, "too slow"),
        Provider("torch", "peer", prepare_as("prepare_module")),
        Provider("torch, rows", "peer", prepare_as("prepare_rows")),
    ),
)
