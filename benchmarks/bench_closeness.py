"""How like their user's last items candidates are, beside torch over padded lists and numba."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from headrace.benchmarks.candidates import again, drawn, ragged, sample, within
from headrace.benchmarks.harness.case import Bench, Call, Case, Provider, Wrong
from headrace.benchmarks.harness.curves import THREADS, curves
from headrace.benchmarks.harness.keep import keep
from headrace.benchmarks.peers import obvious_features
from headrace.kernels import closeness
from headrace.kernels.closeness.work import work

RECENT = 20
BASE = {"batch": 64, "each": 1300, "dim": 16}
AXES = {"batch": (1, 4, 16, 64, 256), "dim": (16, 64, 128), "threads": THREADS}


@dataclass(frozen=True)
class Likeness:
    """content: float32 [items, dim] of unit length. recent: int32 [B, RECENT], -1 where there is none."""

    content: Tensor
    recent: Tensor
    offsets: Tensor
    item: Tensor

    @cached_property
    def owner(self) -> Tensor:
        """int64 [n]: the request of each candidate."""
        return torch.repeat_interleave(self.offsets.diff())

    @cached_property
    def truth(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Positions and their numbers [positions, 2], one product after the other in float64."""
        at = sample(len(self.item))
        content, recent = self.content.double().numpy(), self.recent.numpy()
        found = np.zeros((len(at), 2))
        for row, position in enumerate(at):
            items = [item for item in recent[self.owner[position]] if item >= 0]
            products = [float(content[self.item[position]] @ content[item]) for item in items]
            if products:
                found[row] = sum(products) / len(products), max(products)
        return at, found


@keep(2)
def make_content(items: int, dim: int) -> Tensor:
    return functional.normalize(torch.randn(items, dim, generator=torch.Generator().manual_seed(0)), dim=1)


def make_likeness(batch: int, each: int, dim: int, items: int) -> Likeness:
    """Every eighth request has half as many recent items as the others."""
    offsets = ragged(batch, each)
    recent = torch.randint(0, items, (batch, RECENT), generator=torch.Generator().manual_seed(1)).int()
    recent[7::8, RECENT // 2 :] = -1
    return Likeness(make_content(items, dim), recent, offsets, drawn(offsets, items))


def check(likeness: Likeness, answer: Any) -> str:
    """float32 sums of unit vectors' products: at most (recent + dim + 3) roundings off."""
    got = np.asarray(answer)
    if got.shape != (len(likeness.item), 2):
        raise Wrong(f"expected numbers of shape {(len(likeness.item), 2)}, got {got.shape}")
    at, truth = likeness.truth
    return within(got[at], truth, np.full(truth.shape, (RECENT + likeness.content.shape[1] + 3) * 2.0**-24))


def prepare_headrace(likeness: Likeness, case: Case, backend: str) -> Call:
    given = likeness.content, likeness.recent, likeness.offsets, likeness.item
    return lambda: closeness(*given, backend=backend)


def prepare_torch(likeness: Likeness, case: Case) -> Call:
    """Candidates padded to the longest list, and one batched product."""
    behaviour = likeness.recent + 1

    def call() -> Tensor:
        owner = torch.repeat_interleave(likeness.offsets.diff(), output_size=len(likeness.item))
        return obvious_features.closeness(likeness.content, behaviour, likeness.offsets, owner, likeness.item)

    return call


def prepare_numba(likeness: Likeness, case: Case) -> Call:
    from headrace.benchmarks.peers import segments_numba

    given = (part.numpy() for part in (likeness.content, likeness.recent, likeness.owner, likeness.item))
    return partial(segments_numba.closeness, *given)


def _case(batch: int, each: int, dim: int, items: int = 100_000) -> Case:
    return Case(
        op="closeness",
        name=f"B{batch} x {each} d{dim} {RECENT} recent",
        params={"batch": batch, "each": each, "dim": dim, "recent": RECENT, "items": items},
        inputs=partial(make_likeness, batch, each, dim, items),
        check=check,
        work=again(work(batch * each, batch, RECENT, dim), batch, each, items, 4 * dim),
    )


def _small(case: Case) -> bool:
    return case.params["batch"] == 1 and case.axis is None


BENCH = Bench(
    "closeness",
    "Closeness of candidates to recent items",
    cases=(
        _case(64, 1300, 16),
        _case(1, 1300, 16),
        replace(_case(256, 1300, 16), suites=("full",)),
        *curves(_case, BASE, AXES),
    ),
    providers=(
        Provider("headrace", "headrace", partial(prepare_headrace, backend="auto")),
        Provider("reference", "reference", partial(prepare_headrace, backend="reference"), (), _small, "too slow"),
        Provider("torch", "peer", prepare_torch),
        Provider("numba", "peer", prepare_numba, ("numba",)),
    ),
)
