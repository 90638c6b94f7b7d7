"""The merge of five recall channels by reciprocal rank fusion, beside Python's dicts and torch's sorts."""

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
from headrace.benchmarks.peers import pool_torch
from headrace.kernels import pool_items
from headrace.kernels.pool_items.work import work

#: What the channels may bring, what a merge keeps, and the constant of the fusion.
QUOTAS, TOTAL, CONSTANT = (500, 1000, 300, 300, 300), 2000, 60.0
#: Items that any channel may find for a request; a prime, so that steps through it meet all.
WITHIN = 2503
BASE = {"batch": 64}
AXES = {"batch": (1, 4, 16, 64, 256), "threads": THREADS}
#: Requests that are checked, and the least share that a peer must have in place.
CHECKED, ENOUGH = 8, 0.9

Fused = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]


@dataclass(frozen=True)
class Found:
    """offsets: int64 [L, B + 1] of the lists in item (int64 [nnz], below `items`), each item once in a list."""

    offsets: Tensor
    item: Tensor
    items: int

    def lists(self, request: int) -> list[list[int]]:
        return [self.item[own[request] : own[request + 1]].tolist() for own in self.offsets]

    @cached_property
    def truth(self) -> dict[int, Fused]:
        """Of some requests: items, scores and lists, by NumPy, one after the other."""
        batch = self.offsets.shape[1] - 1
        return {b: fused(self.lists(b)) for b in np.unique(np.linspace(0, batch - 1, CHECKED).astype(int)).tolist()}


def fused(lists: list[list[int]]) -> Fused:
    """Items, best first, their scores, and the lists that each is in, bit by bit."""
    item = np.concatenate(lists)
    number = np.repeat(np.arange(len(lists)), [len(items) for items in lists])
    rank = np.concatenate([np.arange(len(items)) for items in lists]) + 1
    known, of = np.unique(item, return_inverse=True)
    total, bits = np.zeros(len(known)), np.zeros(len(known), np.int64)
    np.add.at(total, of, 1.0 / (CONSTANT + rank))
    np.bitwise_or.at(bits, of, 1 << number)
    order = np.lexsort((known, -total.astype(np.float32)))[:TOTAL]
    return known[order], total.astype(np.float32)[order], bits[order]


def lengths(batch: int) -> NDArray[np.int64]:
    """[L, B]: how many items each channel brings, 45 % of its quota to all of it."""
    quotas = np.array(QUOTAS)[:, None]
    return np.random.default_rng(0).integers(quotas * 45 // 100, quotas + 1, (len(QUOTAS), batch))


def make_found(batch: int, items: int) -> Found:
    """Each channel steps through the same part of a shuffled catalogue in its own way."""
    draw = np.random.default_rng(1)
    counts = lengths(batch)
    starts = np.concatenate([[0], counts.ravel().cumsum()])
    place = np.arange(starts[-1]) - np.repeat(starts[:-1], counts.ravel())
    step, shift = (np.repeat(draw.integers(1, WITHIN, counts.size), counts.ravel()) for _ in range(2))
    part = np.repeat(np.tile(draw.integers(0, items, batch), len(counts)), counts.ravel())
    item = draw.permutation(items)[(part + (shift + step * place) % WITHIN) % items]
    offsets = np.stack([starts[first : first + batch + 1] for first in range(0, counts.size, batch)])
    return Found(torch.from_numpy(offsets), torch.from_numpy(item), items)


def check(found: Found, answer: Any) -> str:
    """answer: offsets [B + 1], then items, scores and lists of the kept; or the last three of each request."""
    right, wanted = 0, 0
    for b, truth in found.truth.items():
        if isinstance(answer, list):
            item, score, bits = (np.asarray(part) for part in answer[b])
        else:
            own = slice(int(answer[0][b]), int(answer[0][b + 1]))
            item, score, bits = (np.asarray(part)[own] for part in answer[1:])
        if len(item) != len(truth[0]):
            raise Wrong(f"expected {len(truth[0])} items for request {b}, got {len(item)}")
        right += int(((item == truth[0]) & (score.astype(np.float32) == truth[1]) & (bits == truth[2])).sum())
        wanted += len(item)
    if right == wanted:
        return "exact"
    if right < ENOUGH * wanted:
        raise Wrong(f"only {right / wanted:.1%} of the items are a brute force's, in their place")
    return Near(right / wanted, "of items in place")


def merged(lists: list[list[int]], worth: list[float]) -> tuple[list[int], list[float], list[int]]:
    """One request by dicts; scores stay Python's, which are finer than float32."""
    score: dict[int, float] = {}
    bits: dict[int, int] = {}
    for number, items in enumerate(lists):
        for item, value in zip(items, worth, strict=False):
            score[item] = score.get(item, 0.0) + value
            bits[item] = bits.get(item, 0) | 1 << number
    order = sorted(score, key=lambda item: (-score[item], item))[:TOTAL]
    return order, [score[item] for item in order], [bits[item] for item in order]


def prepare_headrace(found: Found, case: Case, backend: str) -> Call:
    return lambda: pool_items(found.offsets, found.item, TOTAL, limits=QUOTAS, constant=CONSTANT, backend=backend)


def prepare_torch(found: Found, case: Case) -> Call:
    return lambda: pool_torch.merged(found.offsets, found.item, found.items, TOTAL, CONSTANT)


def prepare_dicts(found: Found, case: Case) -> Call:
    """Request after request, over lists of Python's integers, which the answer is too."""
    requests = [found.lists(b) for b in range(found.offsets.shape[1] - 1)]
    worth = [1.0 / (CONSTANT + rank) for rank in range(1, max(QUOTAS) + 1)]
    return lambda: [merged(lists, worth) for lists in requests]


def _case(batch: int, items: int = 100_000) -> Case:
    counts = lengths(batch)
    distinct = WITHIN * (1 - np.prod(1 - counts / WITHIN, axis=0))  # expected
    return Case(
        op="pool_items",
        name=f"B{batch} {len(QUOTAS)} lists",
        params={"batch": batch, "lists": len(QUOTAS), "entries": int(counts.sum()), "items": items},
        inputs=partial(make_found, batch, items),
        check=check,
        work=work(int(counts.sum()), int(np.minimum(distinct, TOTAL).sum())),
    )


def _small(case: Case) -> bool:
    return case.params["batch"] == 1 and case.axis is None


BENCH = Bench(
    "pool_items",
    "The merge of recall channels",
    cases=(
        _case(64),
        _case(1),
        replace(_case(256), suites=("full",)),
        *curves(_case, BASE, AXES),
    ),
    providers=(
        Provider("headrace", "headrace", partial(prepare_headrace, backend="auto")),
        Provider("reference", "reference", partial(prepare_headrace, backend="reference"), (), _small, "too slow"),
        Provider("Python dicts", "peer", prepare_dicts),
        Provider("torch", "peer", prepare_torch),
    ),
)
