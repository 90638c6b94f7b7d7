"""Swing: items like those that the user took an interest in, where small circles of users count for less."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array, vstack
from torch import Tensor

from headrace.channels import channel
from headrace.channels.shared.history import UserHistory, first_rows, user_history
from headrace.channels.shared.item_to_item import ItemToItem, ItemToItemSettings
from headrace.channels.shared.neighbours import Entries, columns_of, nearest_rows
from headrace.channels.shared.publishing import recalled
from headrace.channels.shared.rounding import rounded
from headrace.training.build import Build

#: Pairs of users that are looked for at a time, about.
_BLOCK = 2_000_000


@channel
class Swing(ItemToItem):
    """Recall by Swing similarity (Yang, Zhu, Zhang, Wang, Yang 2020).

    sim(i, j) = the sum over ordered pairs of different users u, v who like both of 1 / (alpha + the number of items
    that u and v both like). A pair that shares much may be of one circle, so it says little. A user is no pair, so two
    items need two users in common. The similarity has no upper bound.
    """

    name = "swing"

    class Settings(ItemToItemSettings):
        """Item-to-item similarity by pairs of users, those of small circles with less weight."""

        alpha: float = Field(default=1.0, gt=0, description="added to what a pair of users shares, in items")
        audience: int = Field(
            default=100,
            ge=2,
            description="users of an item that count, those of the latest interest; an item costs at most half their "
            "square",
        )

    @classmethod
    def fit(cls, build: Build, settings: Settings) -> Swing:
        """Index the last items of each user and the most similar items of each item, ties to the lower item.

        What an item's audience or a user's last items leave out is no like at all: it counts in no overlap either.
        Raises ValueError for rows outside the tables.
        """
        history = build.once(user_history, settings.last)
        likes = likes_of(history, len(build.dataset.catalogue), settings.audience)
        return cls(history, *swing_items(likes, settings.neighbours, settings.alpha, build.once(recalled)))


def likes_of(history: UserHistory, items: int, audience: int) -> csr_array:
    """float64 users x items: 1 where an item is among the user's last and the user among its latest `audience`."""
    users = len(history)
    user, item = np.repeat(np.arange(users), history.offsets.diff().numpy()), history.item.numpy()
    order = np.lexsort((user, -history.time.numpy(), item))
    _, kept = first_rows(item[order], items, audience)
    order = order[kept]
    return csr_array((np.ones(len(order)), (user[order], item[order])), shape=(users, items))


def swing_items(
    likes: csr_array, neighbours: int, alpha: float, kept: NDArray[np.bool_] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The most similar items of each item: (offsets int64 [N+1], item int64, similarity float32), ties to the lower.

    kept: bool [N], the items that may be neighbours; None: all. likes: ones, users x items. A pair of users is a row of
    items that both like, and its weight; the similarities are the product of these rows with themselves. Pairs that
    share one item say nothing of two, and are left out.
    """
    items = likes.shape[1]
    parts = [csr_array((0, items)), *(shared for shared in _pairs(likes))]
    shared = vstack(parts, format="csr")
    weight = 1 / (alpha + np.diff(shared.indptr))
    weighted = csr_array((np.repeat(weight, np.diff(shared.indptr)), shared.indices, shared.indptr), shape=shared.shape)

    def similarities(start: int, product: csr_array) -> Entries:
        row = np.repeat(np.arange(start, start + product.shape[0]), np.diff(product.indptr))
        wanted = product.indices != row
        # Each pair stands for both of its orders.
        return row[wanted], product.indices[wanted], 2 * rounded(product.data[wanted])

    right = weighted if kept is None else columns_of(weighted, kept)
    offsets, item, similarity = nearest_rows(shared.T.tocsr(), right, neighbours, similarities)
    return offsets, item, similarity.float()


def _pairs(likes: csr_array) -> Iterator[csr_array]:
    """ones, pairs x items, block by block: what each pair of users that shares two items or more shares."""
    by_item = likes.T.tocsr()
    for start, stop in _blocks(likes, by_item):
        overlap = likes[start:stop] @ by_item
        first = np.repeat(np.arange(start, stop), np.diff(overlap.indptr))
        wanted = (overlap.indices > first) & (overlap.data >= 2)
        yield likes[first[wanted]].multiply(likes[overlap.indices[wanted]]).tocsr()


def _blocks(likes: csr_array, by_item: csr_array) -> Iterator[tuple[int, int]]:
    """Runs of users who meet about _BLOCK others together, each as often as they share an item."""
    met: NDArray[np.float64] = likes @ np.diff(by_item.indptr)
    block = np.cumsum(met) // _BLOCK
    edges = np.append(np.flatnonzero(np.diff(block, prepend=-1)), likes.shape[0])
    return zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
