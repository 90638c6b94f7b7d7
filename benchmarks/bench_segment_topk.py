"""The best of each list of a ragged batch, as after pre-ranking, beside torch, NumPy and numba."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headrace.benchmarks.candidates import drawn, ragged
from headrace.benchmarks.harness.case import Bench, Call, Case, Near, Provider, Wrong
from headrace.benchmarks.harness.curves import THREADS, curves
from headrace.kernels import segment_topk
from headrace.kernels.segment_topk.work import work

BASE = {"batch": 64, "each": 1300, "k": 500}
AXES = {"batch": (1, 4, 16, 64, 256), "each": (600, 1300, 5000), "k": (10, 100, 500), "threads": THREADS}
#: Lists that are checked, and the least share that a peer must have in place.
CHECKED, ENOUGH = 16, 0.9


@dataclass(frozen=True)
class Scored:
    """offsets: int64 [B + 1]. score: float32 [n]. item: int64 [n], the lower of two equal scores goes first."""

    offsets: Tensor
    score: Tensor
    item: Tensor
    k: int

    @cached_property
    def kept(self) -> Tensor:
        """int64 [B + 1]: offsets of the answer."""
        counts = self.offsets.diff().clamp_max(self.k)
        return torch.cat([counts.new_zeros(1), counts.cumsum(0)])

    @cached_property
    def truth(self) -> dict[int, list[int]]:
        """The positions that some lists keep, by Python's sort of (falling score, item, position)."""
        score, item, offsets = self.score.tolist(), self.item.tolist(), self.offsets.tolist()
        found = {}
        for b in np.unique(np.linspace(0, len(offsets) - 2, CHECKED).astype(int)).tolist():
            order = sorted((-score[i], item[i], i) for i in range(offsets[b], offsets[b + 1]))
            found[b] = [i for *_, i in order[: self.k]]
        return found


def make_scored(batch: int, each: int, k: int, items: int) -> Scored:
    offsets = ragged(batch, each)
    score = torch.randn(batch * each, generator=torch.Generator().manual_seed(0)).sigmoid_()
    return Scored(offsets, score, drawn(offsets, items), k)


def check(scored: Scored, answer: Any) -> str:
    """answer: the kept positions, list after list."""
    got, kept = np.asarray(answer), scored.kept.tolist()
    if got.shape != (kept[-1],):
        raise Wrong(f"expected {kept[-1]} positions, got shape {got.shape}")
    right = [got[kept[b] : kept[b + 1]] == np.array(truth) for b, truth in scored.truth.items()]
    share = float(np.concatenate(right).mean())
    if share == 1:
        return "exact"
    if share < ENOUGH:
        raise Wrong(f"only {share:.1%} of the positions are a brute force's, in their place")
    return Near(share, "of positions in place")


def prepare_headrace(scored: Scored, case: Case, backend: str) -> Call:
    return lambda: segment_topk(scored.offsets, scored.score, scored.item, scored.k, backend=backend)[0]


def prepare_sort(scored: Scored, case: Case) -> Call:
    """The whole batch sorted by score, then stably by list."""

    def call() -> Tensor:
        counts = scored.offsets.diff()
        owner = torch.repeat_interleave(counts, output_size=len(scored.score)).int()
        order = torch.sort(scored.score, descending=True, stable=True).indices
        order = order[torch.sort(owner[order], stable=True).indices]
        rank = torch.arange(len(order)) - scored.offsets[:-1].repeat_interleave(counts)
        return order[rank < scored.k]

    return call


def prepare_padded(scored: Scored, case: Case) -> Call:
    """One `torch.topk` over lists filled up to the longest."""

    def call() -> Tensor:
        counts = scored.offsets.diff()
        longest = int(counts.max())
        there = torch.arange(longest) < counts[:, None]
        padded = torch.full((len(counts), longest), -torch.inf)
        padded[there] = scored.score
        k = min(scored.k, longest)
        place = padded.topk(k).indices + scored.offsets[:-1, None]
        return place[there[:, :k]]

    return call


def prepare_numpy(scored: Scored, case: Case) -> Call:
    """A partition of lists filled up to the longest, then a sort of what is kept."""
    offsets, score, k = scored.offsets.numpy(), scored.score.numpy(), scored.k

    def call() -> Tensor:
        counts = np.diff(offsets)
        there = np.arange(counts.max()) < counts[:, None]
        padded = np.full(there.shape, np.inf, np.float32)
        padded[there] = -score
        best = np.argpartition(padded, min(k, counts.max()) - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(padded, best, 1), axis=1)
        place = np.take_along_axis(best, order, 1) + offsets[:-1, None]
        return torch.from_numpy(place[there[:, :k]])

    return call


def prepare_numba(scored: Scored, case: Case) -> Call:
    from headrace.benchmarks.peers import segments_numba

    offsets, score, kept = scored.offsets.numpy(), scored.score.numpy(), scored.kept.numpy()
    return lambda: segments_numba.topk(offsets, score, kept)


def _case(batch: int, each: int, k: int, items: int = 100_000) -> Case:
    kept = int((ragged(batch, each).diff()).clamp_max(k).sum())
    return Case(
        op="segment_topk",
        name=f"B{batch} x {each} k{k}",
        params={"batch": batch, "each": each, "k": k},
        inputs=partial(make_scored, batch, each, k, items),
        check=check,
        work=work(batch * each, kept),
    )


def _small(case: Case) -> bool:
    return case.params["batch"] == 1 and case.axis is None


BENCH = Bench(
    "segment_topk",
    "The best of each list of a ragged batch",
    cases=(
        _case(64, 1300, 500),
        _case(1, 1300, 500),
        replace(_case(256, 1300, 500), suites=("full",)),
        *curves(_case, BASE, AXES),
    ),
    providers=(
        Provider("headrace", "headrace", partial(prepare_headrace, backend="auto")),
        Provider("reference", "reference", partial(prepare_headrace, backend="reference"), (), _small, "too slow"),
        Provider("torch, padded topk", "peer", prepare_padded),
        Provider("torch, sorts", "peer", prepare_sort),
        Provider("NumPy, padded argpartition", "peer", prepare_numpy),
        Provider("numba", "peer", prepare_numba, ("numba",)),
    ),
)
