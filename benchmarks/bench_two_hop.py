"""Recall in two hops, user to items to like items, beside what users write with SciPy and NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.benchmarks.harness.case import Bench, Call, Case, Provider, Wrong
from headrace.benchmarks.harness.curves import curves
from headrace.kernels import Edges, two_hop
from headrace.kernels.two_hop.work import work

USERS, ITEMS, NEIGHBOURS = 2000, 50_000, 10
BASE = {"batch": 64, "seeds": 50, "k": 500}
AXES = {"batch": (1, 16, 64, 256), "seeds": (10, 50, 200)}
#: Requests whose answers are checked.
CHECKED = 4

#: Items and float32 scores, best first.
Page = tuple[NDArray[np.int64], NDArray[np.float32]]
#: Those of each request; or offsets, items and scores of all.
Pages = list[Page] | tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Walks:
    """seeds: each user's items. items: each item's neighbours. users: int64 [B]."""

    seeds: Edges
    items: Edges
    users: Tensor
    k: int

    @cached_property
    def matrices(self) -> tuple[sp.csr_array, sp.csr_array]:
        """float64 users x items and items x items."""
        return _matrix(self.seeds), _matrix(self.items)


def _matrix(edges: Edges) -> sp.csr_array:
    assert edges.weight is not None
    parts = (edges.weight.double().numpy(), edges.target.numpy(), edges.offsets.numpy())
    return sp.csr_array(parts, shape=(edges.nodes, ITEMS))


def make_walks(batch: int, seeds: int, k: int) -> Walks:
    """Popularity falls as a power law; every user has `seeds` items, every item `NEIGHBOURS` neighbours."""
    draw = np.random.default_rng(0)
    popular = np.cumsum(1.0 / np.arange(1, ITEMS + 1) ** 0.8)

    def edges(nodes: int, each: int, whole: bool) -> Edges:
        target = np.searchsorted(popular, draw.random(nodes * each) * popular[-1])
        # Eighths add up exactly, in whatever order a peer adds them.
        weight = draw.integers(1, 6, len(target)) if whole else draw.integers(1, 9, len(target)) / 8
        offsets = torch.arange(nodes + 1) * each
        return Edges(offsets, torch.from_numpy(target), torch.from_numpy(weight.astype(np.float32)))

    users = torch.from_numpy(draw.integers(0, USERS, batch))
    return Walks(edges(USERS, seeds, True), edges(ITEMS, NEIGHBOURS, False), users, k)


def pages_of(answer: Pages) -> list[Page]:
    if isinstance(answer, list):
        return answer
    offsets, item, score = (part.numpy() for part in answer)
    return list(zip(np.split(item, offsets[1:-1]), np.split(score, offsets[1:-1]), strict=True))


def check(walks: Walks, answer: Pages) -> str:
    answer = pages_of(answer)
    if len(answer) != len(walks.users):
        raise Wrong(f"expected {len(walks.users)} lists, got {len(answer)}")
    seeds, items = walks.matrices
    for b in np.unique(np.linspace(0, len(answer) - 1, CHECKED).astype(int)):
        total = (seeds[[int(walks.users[b])]] @ items).toarray()[0].astype(np.float32)
        best = np.lexsort((np.arange(ITEMS), -total))[: walks.k]
        best = best[total[best] > 0]
        if not np.array_equal(answer[b][0], best) or not np.array_equal(answer[b][1], total[best]):
            raise Wrong(f"request {b}: the items are not those of a brute force")
    return "exact"


def prepare_headrace(walks: Walks, case: Case, backend: str) -> Call:
    return lambda: two_hop(walks.users, walks.seeds, walks.items, walks.k, backend=backend)


def prepare_scipy(walks: Walks, case: Case) -> Call:
    """The sparse product of the users' rows and the similarities, and the best of each row by a sort."""
    seeds, items = walks.matrices
    users = walks.users.numpy()

    def call() -> Pages:
        product = seeds[users] @ items
        pages: list[Page] = []
        for a, b in zip(product.indptr[:-1], product.indptr[1:], strict=True):
            item, score = product.indices[a:b], product.data[a:b].astype(np.float32)
            order = np.lexsort((item, -score))[: walks.k]
            pages.append((item[order].astype(np.int64), score[order]))
        return pages

    return call


def prepare_numpy(walks: Walks, case: Case) -> Call:
    """Neighbours by fancy indexing, equal items by a sort, request by request."""
    seeds, items = walks.seeds, walks.items
    assert seeds.weight is not None
    assert items.weight is not None
    starts, target, weight = seeds.offsets.numpy(), seeds.target.numpy(), seeds.weight.numpy()
    neighbours, likeness = (part.numpy().reshape(ITEMS, NEIGHBOURS) for part in (items.target, items.weight))
    users = walks.users.numpy()

    def call() -> Pages:
        pages: list[Page] = []
        for user in users:
            mine = slice(starts[user], starts[user + 1])
            worth = weight[mine].astype(np.float64)[:, None] * likeness[target[mine]]
            item, place = np.unique(neighbours[target[mine]], return_inverse=True)
            score = np.bincount(place.ravel(), worth.ravel(), minlength=len(item)).astype(np.float32)
            order = np.argsort(-score, kind="stable")[: walks.k]
            pages.append((item[order], score[order]))
        return pages

    return call


def _case(batch: int, seeds: int, k: int) -> Case:
    entries = batch * seeds * NEIGHBOURS
    return Case(
        op="two_hop",
        name=f"B{batch}, {seeds} seeds of {NEIGHBOURS} items, k{k}",
        params={"batch": batch, "seeds": seeds, "k": k},
        inputs=partial(make_walks, batch, seeds, k),
        check=check,
        work=work(batch * seeds, entries, batch * min(k, seeds * NEIGHBOURS)),
    )


BENCH = Bench(
    "two_hop",
    "Recall in two hops",
    cases=(_case(1, 50, 500), _case(64, 50, 500), *curves(_case, BASE, AXES)),
    providers=(
        Provider("headrace", "headrace", partial(prepare_headrace, backend="auto")),
        Provider("reference", "reference", partial(prepare_headrace, backend="reference")),
        Provider("NumPy", "peer", prepare_numpy),
        Provider("SciPy", "peer", prepare_scipy),
    ),
)
