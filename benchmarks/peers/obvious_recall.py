"""Recall, merge and exposure filter as one writes them today: FAISS, SciPy, NumPy, dicts and sets."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from headrace.channels.two_tower import TwoTower
from headrace.state import State

Ints = NDArray[np.int64]
#: Float32 vectors [B, d], k -> ids int64 [B, k], best first.
Search = Callable[[NDArray[np.float32], int], Ints]
#: Float32 vectors [N, d] -> what searches them.
Index = Callable[[NDArray[np.float32]], Search]

#: Of each rank in reciprocal rank fusion.
_SHARES = [1.0 / (60 + rank) for rank in range(1, 10_001)]


class Recall(Protocol):
    """One channel. state: its part of the snapshot. search: makes an index of vectors."""

    def __init__(self, state: State, search: Index) -> None: ...

    def __call__(self, users: Sequence[int], time: int, quota: int) -> list[list[int]]:
        """users: rows, -1 unknown. Returns at most `quota` items for each, best first."""
        ...


#: Channel -> how one writes it today.
PEERS: dict[str, type[Recall]] = {}


def peer_of(name: str) -> Callable[[type[Recall]], type[Recall]]:
    """Registers a class as the peer of the channel of that name."""
    return lambda peer: PEERS.setdefault(name, peer)


@peer_of("itemcf")
class ItemCF:
    """Last items of the users times similar items, one sparse product for the batch."""

    def __init__(self, state: State, search: Index) -> None:
        items = len(state["offsets"]) - 1
        history = state.under("history")
        offsets = history["offsets"].numpy()
        # One row more, empty: row -1 is the unknown user's.
        self.history = csr_array(
            (
                history["interest"].double().numpy(),
                history["item"].numpy(),
                np.append(offsets, offsets[-1]),
            ),
            shape=(len(offsets), items),
        )
        similar = (state["similarity"].double().numpy(), state["item"].numpy(), state["offsets"].numpy())
        self.similar = csr_array(similar, shape=(items, items))

    def __call__(self, users: Sequence[int], time: int, quota: int) -> list[list[int]]:
        found = self.history[np.asarray(users)] @ self.similar
        bounds = found.indptr
        return [best(found.indices[a:b], found.data[a:b], quota) for a, b in pairwise(bounds)]


@peer_of("two_tower")
class NearestVectors:
    """The user tower in torch, its neighbours by FAISS."""

    def __init__(self, state: State, search: Index) -> None:
        tower = TwoTower.from_state(state)
        self.rows = tower.rows.numpy()
        self.search = search(tower.vectors.numpy())
        self.tower = replace(tower, vectors=tower.vectors[:0])  # the index has its own

    def __call__(self, users: Sequence[int], time: int, quota: int) -> list[list[int]]:
        tower = self.tower
        rows = torch.tensor(users)
        asked = (rows >= 0) & tower.known[rows]
        if not bool(asked.any()):
            return [[] for _ in users]
        known = rows[asked]
        vectors = tower.model.user_vectors(known, tower.recent[known].long(), tower.users)
        found = self.search(vectors.numpy(), quota)
        lists = iter([self.rows[row[row >= 0]].tolist() for row in found])
        return [next(lists) if one else [] for one in asked.tolist()]


@peer_of("author_latest")
class LatestOfAuthors:
    """A list of favourite authors for each user, a list of items for each author, newest first."""

    def __init__(self, state: State, search: Index) -> None:
        authors = split(state["author"], state["user_offsets"])
        interests = split(state["interest"], state["user_offsets"])
        self.favourites = [list(zip(a, i, strict=True)) for a, i in zip(authors, interests, strict=True)] + [[]]
        self.items = split(state["item"], state["item_offsets"])
        self.ages = split(-state["published"], state["item_offsets"])
        self.per_author = int(state["per_author"])

    def __call__(self, users: Sequence[int], time: int, quota: int) -> list[list[int]]:
        return [self._one(self.favourites[user], time, quota) for user in users]

    def _one(self, favourites: list[tuple[int, float]], time: int, quota: int) -> list[int]:
        scored = []
        for author, interest in favourites:
            first = bisect_left(self.ages[author], -time)
            latest = self.items[author][first : first + self.per_author]
            scored += [(-interest / rank, item) for rank, item in enumerate(latest, 1)]
        scored.sort()
        return [item for _, item in scored[:quota]]


@peer_of("popular_in_category")
class PopularOfCategories:
    """Each of the user's categories gives its popular items for its share of the quota."""

    def __init__(self, state: State, search: Index) -> None:
        offsets = state["user_offsets"].tolist()
        category, interest = state["category"].tolist(), state["interest"].tolist()
        self.users = [list(zip(category[a:b], interest[a:b], strict=True)) for a, b in pairwise(offsets)] + [[]]
        bounds = state["item_offsets"].tolist()[1:-1]
        self.items = np.split(state["item"].numpy(), bounds)
        self.shares = np.split(state["share"].double().numpy(), bounds)

    def __call__(self, users: Sequence[int], time: int, quota: int) -> list[list[int]]:
        return [self._one(self.users[user], quota) for user in users]

    def _one(self, interests: list[tuple[int, int]], quota: int) -> list[int]:
        if not interests:
            return []
        total = sum(interest for _, interest in interests)
        items, scores = [], []
        for category, interest in interests:
            count = -(-quota * interest // total)
            items.append(self.items[category][:count])
            scores.append(self.shares[category][:count] * (interest / total))
        found, place = np.unique(np.concatenate(items), return_inverse=True)
        return best(found, np.bincount(place, np.concatenate(scores)), quota)


@peer_of("popular")
class PopularOfAll:
    """The same list for everybody."""

    def __init__(self, state: State, search: Index) -> None:
        self.items = state["item"].tolist()

    def __call__(self, users: Sequence[int], time: int, quota: int) -> list[list[int]]:
        return [self.items[:quota]] * len(users)


def split(values: Tensor, offsets: Tensor) -> list[list[Any]]:
    """The lists of a ragged column."""
    flat, bounds = values.tolist(), offsets.tolist()
    return [flat[a:b] for a, b in pairwise(bounds)]


def best(items: NDArray[Any], scores: NDArray[Any], quota: int) -> list[int]:
    """The `quota` items of the best scores (as float32), best first, ties to the lower item."""
    negative = -scores.astype(np.float32)
    if len(items) > quota:
        kept = np.flatnonzero(negative <= np.partition(negative, quota - 1)[quota - 1])
        items, negative = items[kept], negative[kept]
    order: list[int] = items[np.lexsort((items, negative))[:quota]].tolist()
    return order


@dataclass
class Merged:
    """One request's candidates: items, and for each the bits of the channels that found it."""

    items: list[int]
    bits: dict[int, int]


def merge(found: Sequence[list[int]], total: int) -> Merged:
    """The distinct items of all channels' lists, the best by reciprocal rank fusion where more than `total`."""
    scores: dict[int, float] = {}
    bits: dict[int, int] = {}
    for channel, items in enumerate(found):
        bit = 1 << channel
        for item, share in zip(items, _SHARES, strict=False):
            scores[item] = scores.get(item, 0.0) + share
            bits[item] = bits.get(item, 0) | bit
    if len(scores) <= total:  # the order means nothing to what comes after
        return Merged(list(scores), bits)
    distinct = np.fromiter(scores, np.int64, len(scores))
    return Merged(best(distinct, np.fromiter(scores.values(), np.float64, len(scores)), total), bits)


def exposed(users: NDArray[np.integer], items: NDArray[np.integer], count: int) -> list[set[int]]:
    """What each of `count` users was shown, and an empty set at the end, for the unknown user -1."""
    order = np.argsort(users, kind="stable")
    bounds = np.searchsorted(users[order], np.arange(1, count))
    return [*(set(part.tolist()) for part in np.split(items[order], bounds)), set()]


def faiss_flat(vectors: NDArray[np.float32]) -> Search:
    """FAISS's exact index, tuned: by default it leaves BLAS out for small batches and is far slower."""
    import faiss

    faiss.cvar.distance_compute_blas_threshold = 20
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)

    def search(queries: NDArray[np.float32], k: int) -> Ints:
        found: Ints = index.search(queries, k)[1]
        return found

    return search


def torch_flat(vectors: NDArray[np.float32]) -> Search:
    """The same without FAISS, for checks where it is not installed."""
    items = torch.from_numpy(vectors)

    def search(queries: NDArray[np.float32], k: int) -> Ints:
        return torch.topk(torch.from_numpy(queries) @ items.T, min(k, len(items))).indices.numpy()

    return search


def asked(quota: int) -> int:
    """What a channel is asked for at first: a quarter more than its quota, at most 96."""
    return quota + min(-(-quota // 4), 96)


def unseen(
    channel: Recall, users: Sequence[int], time: int, quota: int, found: list[list[int]], exposed: Sequence[set[int]]
) -> list[list[int]]:
    """A channel's first `quota` items that each user has not seen, of `found`, or of lists of twice the length."""
    depth = asked(quota)
    kept = [[item for item in one if item not in exposed[user]] for user, one in zip(users, found, strict=True)]
    sizes = [len(one) for one in found]
    beyond = depth - quota
    short = [b for b, one in enumerate(kept) if len(one) < quota <= sizes[b] and sizes[b] - len(one) > beyond]
    while short and depth < 8 * quota:
        depth *= 2
        longer = channel([users[b] for b in short], time, depth)
        again = []
        for b, one in zip(short, longer, strict=True):
            kept[b] = [item for item in one if item not in exposed[users[b]]]
            if len(kept[b]) < quota and len(one) > sizes[b]:
                again.append(b)
            sizes[b] = len(one)
        short = again
    return [one[:quota] for one in kept]


def filled(items: list[int], size: int, order: Sequence[int], seen: set[int]) -> list[int]:
    """`items`, and then what comes first in `order`, until there are `size`."""
    if len(items) >= size:
        return items
    had = {*items, *seen}
    more = [item for item in order if item not in had]
    return items + more[: size - len(items)]
