"""Maximal marginal relevance beside what users write in NumPy, torch and numba, and beside pyversity."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from headrace.benchmarks.harness.case import Bench, Call, Case, Provider
from headrace.benchmarks.harness.curves import curves
from headrace.benchmarks.lists import THETA, Floats, Lists, a_request, check, make_lists, name, params, without_rules
from headrace.benchmarks.peers.tuning import fastest_batches, fastest_blas
from headrace.kernels import mmr
from headrace.kernels.diversity.work import mmr_work

BASE = {"batch": 16, "items": 500, "dim": 64, "k": 50, "window": 10}
AXES = {
    "batch": (1, 16, 64, 256),
    "items": (100, 500, 1000, 5000),
    "dim": (16, 64, 128, 512),
    "k": (10, 50, 100, 200),
    "window": (1, 5, 10, 50),
}
QUICK: list[tuple[Any, ...]] = [
    (1, 500, 64, 80, 10),
    (64, 500, 64, 80, 10),
    (64, 500, 64, 80, None),
    (1, 200, 64, 50, 10),
]
FULL: list[tuple[Any, ...]] = [
    *((1, 5000, 64, 100, 10), (256, 500, 64, 80, 10), (1, 500, 64, 80, None)),
    *((256, 200, 64, 50, None), (256, 500, 64, 80, None), (256, 1000, 64, 100, None), (256, 5000, 64, 100, None)),
    (256, 500, 64, 80, 10, 3),
]


def unlikeness(vectors: Floats, picked: list[int]) -> Floats:
    """-(1 - theta) times each item's largest inner product with what was picked."""
    if not picked:
        return np.zeros(len(vectors))
    nearest: Floats = -(1 - THETA) * (vectors @ vectors[picked].T).max(1)
    return nearest


def prepare_headrace(lists: Lists, case: Case, backend: str) -> Call:
    return lambda: mmr(
        lists.vectors, lists.rewards, lists.offsets, lists.k, THETA, lists.window, lists.rules, backend=backend
    )[0]


def prepare_numpy(lists: Lists, case: Case) -> Call:
    from headrace.benchmarks.peers import greedy_numpy

    return fastest_blas(lambda: greedy_numpy.mmr(*lists.arrays, lists.k, THETA, lists.window, lists.rule_arrays))


def prepare_torch(lists: Lists, case: Case) -> Call:
    from headrace.benchmarks.peers import greedy_torch

    return fastest_batches(lambda part: greedy_torch.mmr(*part.padded, part.k, THETA, part.window, part.rules), lists)


def prepare_numba(lists: Lists, case: Case) -> Call:
    from headrace.benchmarks.peers import greedy_numba

    return lambda: greedy_numba.mmr(*lists.arrays, lists.k, np.float32(THETA), lists.window or 0, lists.rule_arrays)


def prepare_pyversity(lists: Lists, case: Case) -> Call:
    """It counts negative likeness as none, which is the same on vectors that have none (`positive`)."""
    import pyversity

    vectors, rewards = (part.numpy() for part in lists.padded)

    def call() -> Any:
        each = zip(vectors, rewards, strict=True)
        return [pyversity.mmr(v, r, lists.k, diversity=1 - THETA, normalize=False).indices for v, r in each]

    return fastest_blas(call)


def _case(batch: int, items: int, dim: int, k: int, window: int | None, rules: int = 0) -> Case:
    sizes = (batch, items, dim, k, window, rules)
    return Case(
        op="mmr",
        name=name(*sizes),
        params=params(*sizes),
        inputs=partial(make_lists, *sizes, positive=window is None),
        check=partial(check, diversity=unlikeness),
        work=mmr_work(batch, items, dim, k, rules),
    )


def _small(case: Case) -> bool:
    return int(case.params["batch"] or 0) * int(case.params["items"] or 0) <= 200


def _all_picks(case: Case) -> bool:
    return case.params["window"] is None and without_rules(case)


BENCH = Bench(
    "mmr",
    "Maximal marginal relevance",
    cases=(
        *(_case(*sizes) for sizes in QUICK),
        *(replace(_case(*sizes), suites=("full",)) for sizes in FULL),
        *curves(_case, BASE, AXES),
    ),
    providers=(
        Provider("headrace", "headrace", partial(prepare_headrace, backend="auto"), measure=a_request),
        Provider("reference", "reference", partial(prepare_headrace, backend="reference"), (), _small, "too slow"),
        Provider("numba", "peer", prepare_numba, ("numba",), measure=a_request),
        Provider("NumPy", "peer", prepare_numpy, measure=a_request),
        Provider("torch", "peer", prepare_torch, measure=a_request),
        Provider(
            "pyversity",
            "peer",
            prepare_pyversity,
            ("pyversity",),
            _all_picks,
            "has no window and no rules",
            measure=a_request,
        ),
    ),
)
