"""ItemCF: items like those that the user took an interest in."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array
from torch import Tensor

from headrace.channels import channel
from headrace.channels.shared.history import user_history
from headrace.channels.shared.item_to_item import ItemToItem, ItemToItemSettings
from headrace.channels.shared.neighbours import Entries, columns_of, nearest_rows, ones
from headrace.channels.shared.publishing import recalled
from headrace.training.build import Build


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
        kept = build.once(recalled)
        return cls(history, *nearest_items(likes, settings.neighbours, settings.min_common, kept))


def nearest_items(
    likes: csr_array, neighbours: int, min_common: int = 1, kept: NDArray[np.bool_] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The most similar items of each item by the cosine of the columns of `likes` (float64 > 0, users x items).

    kept: bool [N], the items that may be neighbours; None: all. Returns (offsets int64 [N+1], item int64, similarity
    float32), most similar first, ties to the lower item. The order is that of the squared cosine: for whole-number
    likes its parts are exact, so equal similarities tie exactly.
    """
    by_item = likes.T.tocsr()
    norm = by_item.power(2).sum(axis=1)
    right = likes if kept is None else columns_of(likes, kept)

    def squares(start: int, product: csr_array) -> Entries:
        stop = start + product.shape[0]
        row = np.repeat(np.arange(start, stop), np.diff(product.indptr))
        wanted = product.indices != row
        if min_common > 1:
            pattern = ones(by_item[start:stop]) @ ones(right)  # same structure, so same order of entries
            wanted &= pattern.data >= min_common
        row, column, dot = row[wanted], product.indices[wanted], product.data[wanted]
        return row, column, dot * dot / (norm[row] * norm[column])

    offsets, item, square = nearest_rows(by_item, right, neighbours, squares)
    return offsets, item, square.sqrt().float()
