"""How much of what users went on to want a list of recommendations holds: recall, NDCG, hit rate, coverage.

Recommendations are int64 [B, K] dense rows, best first, -1 where a list is shorter (`pad_lists` makes them from a
ragged batch). The truth is a CSR: request b wants items[offsets[b]:offsets[b+1]]. An item counts once, at its first
place in the list and once in the truth. Means are over the requests that have a truth; without any they are NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.arrays import Array, Floats, Ints, at_least_one, integers


@dataclass(frozen=True)
class RetrievalQuality:
    """Means over `requests` requests with a truth, all at the same k; `coverage` is over all requests."""

    recall: float
    ndcg: float
    hit_rate: float
    coverage: float
    requests: int


def pad_lists(offsets: Array, items: Array, k: int) -> Ints:
    """The first `k` entries of each ragged list as int64 [B, k], -1 behind the end."""
    at, values = _csr(offsets, items)
    column = np.arange(at_least_one(k, "k"))
    present = column < np.diff(at)[:, None]
    out = np.full(present.shape, -1, np.int64)
    out[present] = values[(at[:-1, None] + column)[present]]
    return out


def recall_at(recommended: Array, offsets: Array, items: Array, k: int) -> float:
    """Mean share of each request's truth found in the first `k`; below 1 where the truth is longer than `k`."""
    hits, wanted = _judge(recommended, offsets, items, k)
    return _recall(hits, wanted)


def ndcg_at(recommended: Array, offsets: Array, items: Array, k: int) -> float:
    """Mean NDCG with gain 1 and discount 1/log2(place + 1); the ideal list holds min(k, |truth|) hits
    (Järvelin and Kekäläinen, 2002)."""
    hits, wanted = _judge(recommended, offsets, items, k)
    return _ndcg(hits, wanted, k)


def hit_rate_at(recommended: Array, offsets: Array, items: Array, k: int) -> float:
    """Share of requests with at least one hit in the first `k`."""
    hits, _ = _judge(recommended, offsets, items, k)
    return _hit_rate(hits)


def coverage(recommended: Array, n_items: int) -> float:
    """Share of a catalogue of `n_items` that stands in any list at all."""
    lists = _lists(recommended)
    if lists.size and lists.max() >= at_least_one(n_items, "n_items"):
        raise ValueError(f"recommended: expected rows below n_items = {n_items}, got {lists.max()}")
    return len(np.unique(lists[lists >= 0])) / at_least_one(n_items, "n_items")


def retrieval_quality(recommended: Array, offsets: Array, items: Array, k: int, n_items: int) -> RetrievalQuality:
    """All four metrics of the first `k` of each list, in one pass."""
    lists = _lists(recommended)[:, : at_least_one(k, "k")]
    hits, wanted = _judge(lists, offsets, items, k)
    return RetrievalQuality(
        recall=_recall(hits, wanted),
        ndcg=_ndcg(hits, wanted, k),
        hit_rate=_hit_rate(hits),
        coverage=coverage(lists, n_items),
        requests=len(wanted),
    )


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


def _judge(recommended: Array, offsets: Array, items: Array, k: int) -> tuple[NDArray[np.bool_], Ints]:
    """Of the requests that have a truth: which places hold a hit, bool [R, k], and how many items are wanted [R]."""
    lists = _lists(recommended)[:, : at_least_one(k, "k")]
    at, truth = _csr(offsets, items)
    batch = len(at) - 1
    if len(lists) != batch:
        raise ValueError(f"recommended: expected {batch} lists, one for each request of offsets, got {len(lists)}")
    # One number names a (request, item) pair, so that a set of pairs is a sorted array.
    width = 1 + max(int(lists.max(initial=-1)), int(truth.max(initial=-1)))
    wanted_pairs = np.unique(np.repeat(np.arange(batch), np.diff(at)) * width + truth)
    request, place = np.nonzero(lists >= 0)
    shown, first = np.unique(request * width + lists[request, place], return_index=True)
    first = first[np.isin(shown, wanted_pairs, assume_unique=True)]
    hits = np.zeros(lists.shape, np.bool_)
    hits[request[first], place[first]] = True
    wanted = np.bincount(wanted_pairs // max(width, 1), minlength=batch)
    return hits[wanted > 0], wanted[wanted > 0]


def _recall(hits: NDArray[np.bool_], wanted: Ints) -> float:
    return _mean(hits.sum(axis=1) / wanted)


def _hit_rate(hits: NDArray[np.bool_]) -> float:
    return _mean(np.any(hits, axis=1).astype(np.float64))


def _ndcg(hits: NDArray[np.bool_], wanted: Ints, k: int) -> float:
    # Past the longest truth the discounts are never read, so a huge k costs nothing.
    length = max(hits.shape[1], min(k, int(wanted.max(initial=0))))
    discount = 1.0 / np.log2(np.arange(length) + 2.0)
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    return _mean(hits @ discount[: hits.shape[1]] / ideal[np.minimum(wanted, k)])


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")
