"""Greedy DPP beside what users write in NumPy, torch and numba, and beside pyversity."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from headrace.benchmarks.harness.case import Bench, Call, Case, Provider
from headrace.benchmarks.harness.curves import THREADS, curves
from headrace.benchmarks.lists import (
    EPS,
    THETA,
    Floats,
    Lists,
    a_request,
    check,
    make_lists,
    name,
    params,
    without_rules,
)
from headrace.benchmarks.peers.tuning import fastest_batches, fastest_blas
from headrace.kernels import dpp
from headrace.kernels.diversity.work import dpp_work

BASE = {"batch": 16, "items": 500, "dim": 64, "k": 50, "window": 10}
AXES = {
    "batch": (1, 16, 64, 256),
    "items": (100, 500, 1000, 5000),
    "dim": (16, 64, 128, 512),
    "k": (10, 50, 100, 200),
    "window": (1, 5, 10, 50),
    "threads": THREADS,
}
QUICK: list[tuple[Any, ...]] = [
    (1, 500, 64, 80, 10),
    (64, 500, 64, 80, 10),
    (64, 500, 64, 50, None),
    (1, 200, 64, 50, 10),
]
FULL: list[tuple[Any, ...]] = [
    *((64, 200, 64, 50, 10), (1, 1000, 64, 100, 10), (64, 1000, 64, 100, 10)),
    *((1, 5000, 64, 100, 10), (1, 500, 64, 80, None), (64, 500, 64, 80, None)),
    *((256, 200, 64, 50, 10), (256, 500, 64, 80, 10)),
    *((256, 200, 64, 50, None), (256, 500, 64, 80, None), (256, 1000, 64, 100, None), (256, 5000, 64, 100, None)),
    (256, 500, 64, 80, 10, 3),
]


def log_volume(vectors: Floats, picked: list[int]) -> Floats:
    """(1 - theta) log of each item's squared distance from the span of what was picked, by an orthonormal basis."""
    d2 = np.square(vectors).sum(1)
    if picked:
        basis, _ = np.linalg.qr(vectors[picked].T)
        d2 = d2 - np.square(vectors @ basis).sum(1)
    volume: Floats = (1 - THETA) * np.log(np.maximum(d2, EPS))
    return volume


def prepare_headrace(lists: Lists, case: Case, backend: str) -> Call:
    return lambda: dpp(
        lists.vectors, lists.rewards, lists.offsets, lists.k, THETA, lists.window, lists.rules, eps=EPS, backend=backend
    )[0]


def prepare_numpy(lists: Lists, case: Case) -> Call:
    from headrace.benchmarks.peers import greedy_numpy

    return fastest_blas(lambda: greedy_numpy.dpp(*lists.arrays, lists.k, THETA, lists.window, EPS, lists.rule_arrays))


def prepare_torch(lists: Lists, case: Case) -> Call:
    from headrace.benchmarks.peers import greedy_torch

    return fastest_batches(
        lambda part: greedy_torch.dpp(*part.padded, part.k, THETA, part.window, EPS, part.rules), lists
    )


def prepare_numba(lists: Lists, case: Case) -> Call:
    from headrace.benchmarks.peers import greedy_numba

    theta, eps = np.float32(THETA), np.float32(EPS)
    return lambda: greedy_numba.dpp(*lists.arrays, lists.k, theta, lists.window or 0, eps, lists.rule_arrays)


def prepare_pyversity(lists: Lists, case: Case) -> Call:
    """Its kernel is exp(beta z_i) <v_i, v_j> exp(beta z_j), z the z-scores of the rewards: the same objective."""
    import pyversity

    vectors, rewards = (part.numpy() for part in lists.padded)
    weigh = [THETA / (1 - THETA) * float(reward.std()) for reward in rewards]

    def call() -> Any:
        each = zip(vectors, rewards, weigh, strict=True)
        return [pyversity.dpp(v, r, lists.k, diversity=0.5, scale=scale).indices for v, r, scale in each]

    return fastest_blas(call)


def _case(batch: int, items: int, dim: int, k: int, window: int | None, rules: int = 0) -> Case:
    sizes = (batch, items, dim, k, window, rules)
    return Case(
        op="dpp",
        name=name(*sizes),
        params=params(*sizes),
        inputs=partial(make_lists, *sizes),
        check=partial(check, diversity=log_volume),
        work=dpp_work(*sizes),
    )


def _small(case: Case) -> bool:
    return int(case.params["batch"] or 0) * int(case.params["items"] or 0) <= 200


def _plain(case: Case) -> bool:
    """No window or rules, and independent picks: past the rank it has no lower limit to d2, and picks noise."""
    return (
        case.params["window"] is None
        and without_rules(case)
        and int(case.params["k"] or 0) <= int(case.params["dim"] or 0)
    )


BENCH = Bench(
    "dpp",
    "Greedy DPP",
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
            _plain,
            "no window, no rules; needs k up to dim",
            measure=a_request,
        ),
    ),
)
