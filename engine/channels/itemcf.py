"""ItemCF: items like those that the user took an interest in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array
from torch import Tensor

from headrace.channels import channel
from headrace.channels.shared.history import first_rows, user_history
from headrace.channels.shared.item_to_item import ItemToItem, ItemToItemSettings
from headrace.training.build import Build

#: Entries of one block of the item x item product: bounds memory at some 150 MB.
_BLOCK = 2_000_000


@channel
class ItemCF(ItemToItem):
    """Recall by item-to-item collaborative filtering (Linden, Smith, York 2003; Sarwar et al. 2001)."""

    name = "itemcf"

    class Settings(ItemToItemSettings):
        """Item-based collaborative filtering: its neighbours."""

        quota: int = Field(default=500, ge=0, description="items it may bring a request; 0: it is not built")
        min_common: int = Field(
            default=2,
            ge=1,
            description="users that two items must share to be neighbours: on a sparse log 2 or 3 keeps chance pairs "
            "of similarity 1 out",
        )
        similarity: Literal["cosine", "count"] = Field(
            default="cosine",
            description="cosine: of the items' likes by user; count: common users over the root of the product of both "
            "audiences",
        )

    @classmethod
    def fit(cls, build: Build, settings: Settings) -> ItemCF:
        """Index the last items of each user and the most similar items of each item, ties to the lower item.

        Raises ValueError for rows outside the tables.
        """
        history = build.once(user_history, settings.last)
        weight = history.interest if settings.similarity == "cosine" else torch.ones_like(history.interest)
        likes = csr_array(
            (weight.double().numpy(), history.item.numpy().astype(np.int32), history.offsets.numpy()),
            shape=(len(history), len(build.dataset.catalogue)),
        )
        return cls(history, *nearest_items(likes, settings.neighbours, settings.min_common))


def nearest_items(likes: csr_array, neighbours: int, min_common: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """The most similar items of each item by the cosine of the columns of `likes` (float64 > 0, users x items).

    Returns (offsets int64 [N+1], item int64, similarity float32), most similar first, ties to the lower item. The order
    is that of the squared cosine: for whole-number likes its parts are exact, so equal similarities tie exactly.
    """
    by_item = likes.T.tocsr()
    norm = by_item.power(2).sum(axis=1)
    rows, columns, strengths = [], [], []
    for start, stop in _blocks(likes, by_item):
        product = by_item[start:stop] @ likes
        row = np.repeat(np.arange(start, stop), np.diff(product.indptr))
        wanted = product.indices != row
        if min_common > 1:
            pattern = _ones(by_item[start:stop]) @ _ones(likes)  # same structure, so same order of entries
            wanted &= pattern.data >= min_common
        row, column, dot = row[wanted], product.indices[wanted], product.data[wanted]
        strength = dot * dot / (norm[row] * norm[column])
        kept = _strongest(row - start, strength, stop - start, neighbours)
        order = np.flatnonzero(kept)[np.lexsort((column[kept], -strength[kept], row[kept]))]
        rows.append(row[order])
        columns.append(column[order])
        strengths.append(strength[order])
    offsets, first = first_rows(np.concatenate([np.zeros(0, np.int64), *rows]), likes.shape[1], neighbours)
    column = np.concatenate([np.zeros(0, np.int32), *columns])[first]
    strength = np.concatenate([np.zeros(0), *strengths])[first]
    return (
        torch.from_numpy(offsets),
        torch.from_numpy(column.astype(np.int64)),
        torch.from_numpy(np.sqrt(strength).astype(np.float32)),
    )


def _blocks(likes: csr_array, by_item: csr_array) -> Iterator[tuple[int, int]]:
    """Runs of items whose rows of the product hold about _BLOCK entries together."""
    items = likes.shape[1]
    reached = np.minimum(_ones(by_item) @ np.diff(likes.indptr), items)
    block = np.cumsum(reached) // _BLOCK
    edges = np.append(np.flatnonzero(np.diff(block, prepend=-1)), items)
    return zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)


def _ones(matrix: csr_array) -> csr_array:
    return csr_array((np.ones_like(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape)


def _strongest(row: NDArray[np.int64], strength: NDArray[np.float64], rows: int, limit: int) -> NDArray[np.bool_]:
    """bool [nnz]: a superset of the `limit` strongest entries of each row, few more than that, in one integer sort."""
    # 30 bits of strength are enough to tell what can't belong; equal bits all stay, and the caller orders them exactly.
    key = torch.from_numpy((row << 31) | ((1 << 30) - (strength * (1 << 30)).astype(np.int64)).clip(0))
    counts = np.bincount(row, minlength=rows)
    last = np.cumsum(counts) - np.maximum(counts - limit, 0) - 1
    worst = torch.sort(key).values.numpy()[last.clip(0)] if len(row) else last
    return key.numpy() <= worst[row]
