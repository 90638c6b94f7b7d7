"""Training item-to-item similarity: the nearest items of each item, beside implicit, similaripy and sparse-dot-topn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from headrace.benchmarks.harness.case import Bench, Call, Case, Near, Provider, Wrong
from headrace.benchmarks.harness.curves import curves
from headrace.kernels import settings
from headrace.similarity.neighbours import Weighting, nearest_items

BASE = {"users": 20_000, "items": 20_000, "likes": 300_000, "neighbours": 10}
AXES = {"items": (5_000, 20_000, 80_000), "likes": (100_000, 300_000, 1_000_000)}
CHECKED, ENOUGH = 200, 0.95
#: Squared cosines this close are a tie to float32.
TIE = 1e-5


@dataclass(frozen=True)
class Likes:
    """matrix: float64 users x items, small whole numbers."""

    matrix: sp.csr_array
    neighbours: int

    @cached_property
    def checked(self) -> NDArray[np.int64]:
        return np.unique(np.linspace(0, self.matrix.shape[1] - 1, CHECKED).astype(int))

    @cached_property
    def squares(self) -> NDArray[np.float64]:
        """[checked, items]: squared cosines, dense, item by item; an item is none of its own neighbours.

        Their parts are whole numbers, so equal ones are equal here; their roots may not be.
        """
        columns = self.matrix.tocsc()
        norms = columns.power(2).sum(axis=0)
        found = np.zeros((len(self.checked), columns.shape[1]))
        for row, item in enumerate(self.checked):
            likes = np.zeros(columns.shape[0])
            part = slice(columns.indptr[item], columns.indptr[item + 1])
            likes[columns.indices[part]] = columns.data[part]
            found[row] = np.square(columns.T @ likes) / np.maximum(norms * norms[item], 1)
            found[row, item] = 0.0
        return found


def make_likes(users: int, items: int, likes: int, neighbours: int) -> Likes:
    """`likes` of 1 to 3, some of one pair. Popularity falls as a power law; a user likes one of 50 tastes four times
    as much as the others."""
    draw = np.random.default_rng(0)
    popular = 1.0 / np.arange(1, items + 1) ** 0.8
    taste = draw.integers(0, 50, items)
    user = draw.integers(0, users, 5 * likes)
    item = draw.choice(items, 5 * likes, p=popular / popular.sum())
    kept = np.flatnonzero((taste[item] == user % 50) | (draw.random(5 * likes) < 0.25))[:likes]
    value = draw.integers(1, 4, len(kept)).astype(np.float64)
    matrix = sp.csr_array(sp.coo_array((value, (user[kept], item[kept])), shape=(users, items)))
    matrix.sum_duplicates()
    return Likes(matrix, neighbours)


def make_shape(users: int, items: int, likes: int, neighbours: int) -> Likes:
    """`likes` of 1 to 4 of distinct pairs, in the shape of a log of ratings: activity log-normal, popularity a power
    law with a flat top, each of them without regard to the other."""
    draw = np.random.default_rng(0)
    active = np.exp(draw.normal(0, 1.05, users))
    each = np.clip(active / active.mean() * likes / users, min(15, items / 3), items / 3)
    # More than are wanted, since some come twice.
    count = (1.4 * each * likes / each.sum()).astype(np.int64) + 2
    popular = np.cumsum(1 / (np.arange(items) + 30.0) ** 1.15)
    rank = np.searchsorted(popular / popular[-1], draw.random(int(count.sum())))
    pair = np.repeat(np.arange(users), count) * items + draw.permutation(items)[rank.clip(0, items - 1)]
    pair = np.unique(pair)
    pair = pair[np.sort(draw.permutation(len(pair))[:likes])]
    value = draw.integers(1, 5, len(pair)).astype(np.float64)
    offsets = np.searchsorted(pair // items, np.arange(users + 1))
    return Likes(sp.csr_array((value, pair % items, offsets), shape=(users, items)), neighbours)


def check(likes: Likes, answer: Any) -> str:
    """answer: items x items, each row's neighbours, the item itself allowed. Equal cosines may change places."""
    got = sp.csr_array(answer)
    items = likes.matrix.shape[1]
    if got.shape != (items, items):
        raise Wrong(f"expected similarities of {items} items, got shape {got.shape}")
    right = wanted = 0
    exact = True
    for item, square in zip(likes.checked, likes.squares, strict=True):
        found = got.indices[got.indptr[item] : got.indptr[item + 1]]
        found = found[found != item]
        order = np.lexsort((np.arange(items), -square))[: likes.neighbours]
        order = order[square[order] > 0]
        least = square[order[-1]] if len(order) else 0.0
        right += int((square[found] >= max(least - TIE, 1e-12)).sum())
        wanted += len(order)
        exact &= np.array_equal(found, order)
    if exact:
        return "exact"
    share = min(right, wanted) / wanted
    if share < ENOUGH:
        raise Wrong(f"only {share:.1%} of the neighbours are a brute force's")
    return Near(share, "of neighbours, ties in any order")


def prepare_headrace(likes: Likes, case: Case) -> Call:
    def call() -> sp.csr_array:
        offsets, item, similarity = (
            part.numpy() for part in nearest_items(likes.matrix, likes.neighbours, Weighting())
        )
        items = len(offsets) - 1
        return sp.csr_array((similarity, item, offsets), shape=(items, items))

    return call


def prepare_implicit(likes: Likes, case: Case) -> Call:
    """As its CosineRecommender, which hands on a matrix in the wrong format and warns of it."""
    from implicit.nearest_neighbours import ItemItemRecommender, normalize

    matrix = sp.csr_matrix(likes.matrix)

    def call() -> Any:
        model = ItemItemRecommender(K=likes.neighbours + 1, num_threads=settings.get_threads())
        model.fit(normalize(matrix.T).T.tocsr(), show_progress=False)
        return model.similarity

    return call


def prepare_similaripy(likes: Likes, case: Case) -> Call:
    """Without the items after the last one that anybody likes, which it cannot take."""
    import similaripy

    items = likes.matrix.shape[1]
    by_item = sp.csr_array(likes.matrix.T)[: int(likes.matrix.indices.max()) + 1]
    more = {"k": likes.neighbours + 1, "verbose": False, "format_output": "csr", "num_threads": settings.get_threads()}

    def call() -> Any:
        found = similaripy.cosine(by_item, **more)
        found.resize((items, items))
        return found

    return call


def prepare_topn(likes: Likes, case: Case) -> Call:
    """Columns brought to length one, then the product that keeps only the largest of each row."""
    from sparse_dot_topn import sp_matmul_topn

    matrix = sp.csr_matrix(likes.matrix)

    def call() -> Any:
        scale = 1 / np.sqrt(np.maximum(matrix.power(2).sum(axis=0).A1, 1e-300))
        unit = sp.csr_matrix((matrix.data * scale[matrix.indices], matrix.indices, matrix.indptr), matrix.shape)
        by_item = unit.T.tocsr()
        return sp_matmul_topn(by_item, unit, likes.neighbours + 1, n_threads=settings.get_threads())

    return call


def prepare_scipy(likes: Likes, case: Case) -> Call:
    """The whole product by SciPy, and the largest of each row by a sort."""
    matrix = likes.matrix

    def call() -> sp.csr_array:
        norms = np.sqrt(matrix.power(2).sum(axis=0))
        unit = sp.csr_array((matrix.data / norms[matrix.indices], matrix.indices, matrix.indptr), shape=matrix.shape)
        product = sp.csr_array(unit.T) @ unit
        rows = np.repeat(np.arange(product.shape[0]), np.diff(product.indptr))
        order = np.lexsort((-product.data, rows))
        first = np.arange(len(rows)) - product.indptr[rows] <= likes.neighbours
        kept = order[first]
        found = sp.coo_array((product.data[kept], (rows[first], product.indices[kept])), shape=product.shape)
        return found.tocsr()

    return call


def _case(users: int, items: int, likes: int, neighbours: int) -> Case:
    # Without `work`: how many pairs of likes meet in a user is known only once the log is drawn.
    return Case(
        op="itemcf",
        name=f"{users // 1000}k users {items // 1000}k items {likes // 1000}k likes, {neighbours} neighbours",
        params={"users": users, "items": items, "likes": likes, "neighbours": neighbours},
        inputs=partial(make_likes, users, items, likes, neighbours),
        check=check,
    )


def _shape(users: int, items: int, likes: int, neighbours: int = 100) -> Case:
    case = _case(users, items, likes, neighbours)
    return replace(case, inputs=partial(make_shape, users, items, likes, neighbours), suites=("full",))


def _compared(case: Case) -> bool:
    return case.axis is None and int(case.params["likes"] or 0) < 10_000_000


BENCH = Bench(
    "itemcf",
    "Training item-to-item similarity",
    # The last two have the shapes of MovieLens 1M and 20M.
    cases=(
        _case(**BASE),
        *curves(_case, BASE, AXES),
        _shape(6_040, 3_706, 1_000_209),
        _shape(138_000, 27_000, 20_000_000),
    ),
    providers=(
        Provider("headrace", "headrace", prepare_headrace),
        Provider("implicit", "peer", prepare_implicit, ("implicit",)),
        Provider("similaripy", "peer", prepare_similaripy, ("similaripy",)),
        Provider("sparse-dot-topn", "peer", prepare_topn, ("sparse_dot_topn",)),
        Provider("SciPy", "peer", prepare_scipy, (), _compared, "the slowest; left out of curves and of 20M likes"),
    ),
)
