"""How much of what users went on to want a list of recommendations holds, at any list of k, request by request.

Recommendations are int64 [B, K] dense rows, best first, -1 where a list is shorter (`pad_lists` makes them from a
ragged batch). The truth is a CSR: request b wants items[offsets[b]:offsets[b+1]]. An item counts once, at its first
place in the list and once in the truth. A list that is shorter than k misses the places it lacks. What each metric is,
and where it comes from: docs/evaluation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.arrays import Array, Floats, Ints, at_least_one, integers, reals, same_length

#: What `judge` measures of each request.
METRICS = ("recall", "precision", "f1", "ndcg", "graded_ndcg", "map", "mrr", "hit_rate", "novelty")
#: Grades above it would make gains that float64 adds up badly.
_TOP_GRADE = 32


@dataclass(frozen=True)
class RetrievalQuality:
    """Lists cut at k. values: float64 [R] of each of `METRICS`, over the R requests with a truth, in their order
    (novelty: NaN for an empty list, and absent without popularity). coverage: over all requests."""

    k: int
    values: dict[str, Floats]
    coverage: float

    @property
    def requests(self) -> int:
        return len(self.values["recall"])

    def mean(self, name: str) -> float:
        """The mean over the requests; NaN without any."""
        known = self.values[name][~np.isnan(self.values[name])]
        return float(known.mean()) if len(known) else float("nan")

    @property
    def recall(self) -> float:
        return self.mean("recall")

    @property
    def ndcg(self) -> float:
        return self.mean("ndcg")

    @property
    def hit_rate(self) -> float:
        return self.mean("hit_rate")


@dataclass(frozen=True)
class _Judged:
    """Of the R requests with a truth. rows: which they are. hits: bool [R, K]. gains: float64 [R, K], 2^grade - 1 where
    there is a hit. wanted: [R]. ideal: the truth's pairs as (row int64 [T], place from 0 in the best order, gain)."""

    rows: Ints
    hits: NDArray[np.bool_]
    gains: Floats
    wanted: Ints
    ideal: tuple[Ints, Ints, Floats]


def pad_lists(offsets: Array, items: Array, k: int) -> Ints:
    """The first `k` entries of each ragged list as int64 [B, k], -1 behind the end."""
    at, values = _csr(offsets, items)
    column = np.arange(at_least_one(k, "k"))
    present = column < np.diff(at)[:, None]
    out = np.full(present.shape, -1, np.int64)
    out[present] = values[(at[:-1, None] + column)[present]]
    return out


def coverage(recommended: Array, n_items: int) -> float:
    """Share of a catalogue of `n_items` that stands in any list at all."""
    lists = _lists(recommended)
    if lists.size and lists.max() >= at_least_one(n_items, "n_items"):
        raise ValueError(f"recommended: expected rows below n_items = {n_items}, got {lists.max()}")
    return len(np.unique(lists[lists >= 0])) / at_least_one(n_items, "n_items")


def judge(
    recommended: Array,
    offsets: Array,
    items: Array,
    ks: Sequence[int],
    n_items: int,
    grades: Array | None = None,
    users_of: Array | None = None,
    users: int = 0,
) -> list[RetrievalQuality]:
    """Every metric at each of `ks`, in one pass.

    grades: float [T] from 0 to 32, how much each entry of `items` is wanted; 1 each where not given. An item that is
    there twice has its best. users_of: int [n_items], how many of `users` training users had each item, for novelty.
    Raises TypeError or ValueError, naming the argument.
    """
    ks = [at_least_one(k, "k") for k in ks]
    lists = _lists(recommended)[:, : max(ks, default=1)]
    found = _judge(lists, offsets, items, grades)
    weight = None if users_of is None else _novelty(users_of, users, n_items)
    return [_at(found, lists, k, n_items, weight) for k in ks]


def _lists(recommended: Array) -> Ints:
    lists = integers(recommended, "recommended", ndim=2)
    if lists.size and lists.min() < -1:
        raise ValueError(f"recommended: expected dense rows, or -1 for padding, got {lists.min()}")
    return lists


def _csr(offsets: Array, items: Array) -> tuple[Ints, Ints]:
    at, values = integers(offsets, "offsets"), integers(items, "items")
    if len(at) < 1 or at[0] != 0 or at[-1] != len(values) or (np.diff(at) < 0).any():
        raise ValueError(f"offsets: expected a rise from 0 to the {len(values)} items, got {at[:1]} to {at[-1:]}")
    if values.size and values.min() < 0:
        raise ValueError(f"items: expected dense rows, got {values.min()}")
    return at, values


def _judge(lists: Ints, offsets: Array, items: Array, grades: Array | None) -> _Judged:
    at, truth = _csr(offsets, items)
    batch = len(at) - 1
    if len(lists) != batch:
        raise ValueError(f"recommended: expected {batch} lists, one for each request of offsets, got {len(lists)}")
    grade = np.ones(len(truth)) if grades is None else reals(grades, "grades")
    same_length(items=truth, grades=grade)
    if ((grade < 0) | (grade > _TOP_GRADE)).any():
        raise ValueError(f"grades: expected 0 to {_TOP_GRADE}, got {grade.min():g} to {grade.max():g}")
    # One number names a (request, item) pair, so that a set of pairs is a sorted array.
    width = 1 + max(int(lists.max(initial=-1)), int(truth.max(initial=-1)))
    pair = np.repeat(np.arange(batch), np.diff(at)) * width + truth
    order = np.lexsort((-grade, pair))
    pairs, best = np.unique(pair[order], return_index=True)
    gain = np.exp2(grade[order][best]) - 1
    request, place = np.nonzero(lists >= 0)
    shown, first = np.unique(request * width + lists[request, place], return_index=True)
    _, listed, matched = np.intersect1d(shown, pairs, assume_unique=True, return_indices=True)
    hits, gains = np.zeros(lists.shape, np.bool_), np.zeros(lists.shape)
    hits[request[first[listed]], place[first[listed]]] = True
    gains[request[first[listed]], place[first[listed]]] = gain[matched]
    owner = pairs // max(width, 1)
    wanted = np.bincount(owner, minlength=batch)
    rows = np.flatnonzero(wanted)
    row = np.searchsorted(rows, owner)
    best_first = np.lexsort((-gain, row))
    start = np.cumsum(wanted[rows]) - wanted[rows]
    rank = np.arange(len(pairs)) - np.repeat(start, wanted[rows])
    return _Judged(rows, hits[rows], gains[rows], wanted[rows], (row[best_first], rank, gain[best_first]))


def _at(found: _Judged, lists: Ints, k: int, n_items: int, weight: Floats | None) -> RetrievalQuality:
    hits, wanted = found.hits[:, :k], found.wanted
    place = np.arange(1, hits.shape[1] + 1)
    discount = 1 / np.log2(place + 1)
    count = hits.sum(1)
    recall, precision = count / wanted, count / k
    ahead = hits.cumsum(1)
    first = np.where(count > 0, hits.argmax(1) if hits.shape[1] else 0, 0)
    values = {
        "recall": recall,
        "precision": precision,
        "f1": 2 * count / (wanted + k),
        "ndcg": hits @ discount / _best(wanted, k),
        "graded_ndcg": _graded(found, discount, k),
        "map": (hits * ahead) @ (1 / place) / np.minimum(wanted, k),
        "mrr": np.where(count > 0, 1 / (first + 1), 0.0),
        "hit_rate": (count > 0).astype(np.float64),
    }
    if weight is not None:
        shown = lists[found.rows, :k]
        held = (shown >= 0).sum(1)
        total = (weight[shown.clip(min=0)] * (shown >= 0)).sum(1) if n_items else np.zeros(len(shown))
        values["novelty"] = np.where(held > 0, total / np.maximum(held, 1), np.nan)
    return RetrievalQuality(k, values, coverage(lists[:, :k], n_items))


def _best(wanted: Ints, k: int) -> Floats:
    """float64 [R]: the DCG of a list that begins with all that is wanted."""
    # Past the longest truth the discounts are never read, so a huge k costs nothing.
    discount = 1 / np.log2(np.arange(min(k, int(wanted.max(initial=0)))) + 2.0)
    return np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(wanted, k)]


def _graded(found: _Judged, discount: Floats, k: int) -> Floats:
    row, rank, gain = found.ideal
    ideal = np.bincount(row, gain / np.log2(rank + 2.0) * (rank < k), minlength=len(found.rows))
    reached = found.gains[:, : len(discount)] @ discount
    # Of a truth whose grades are all 0 nothing can be missed.
    return np.divide(reached, ideal, out=np.ones(len(ideal)), where=ideal > 0)


def _novelty(users_of: Array, users: int, n_items: int) -> Floats:
    """float64 [n_items]: the surprise of each item in bits; one user more than there are has everything."""
    count = integers(users_of, "users_of")
    if len(count) != n_items:
        raise ValueError(f"users_of: expected {n_items}, one for each item, got {len(count)}")
    if count.size and not 0 <= count.min() <= count.max() <= users:
        raise ValueError(f"users_of: expected 0 to {users} users, got {count.min()} to {count.max()}")
    return np.log2((users + 1) / (count + 1.0))
