"""Swing: items like those that the user took an interest in, where small circles of users count for less."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from headrace.channels import channel
from headrace.channels.shared.history import user_history
from headrace.channels.shared.item_to_item import ItemToItem, ItemToItemSettings, fading, latest_likes
from headrace.channels.shared.publishing import recalled
from headrace.kernels.co_occurrence import swing
from headrace.training.build import Build


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
        likes = latest_likes(history, len(build.dataset.catalogue), settings.audience)
        offsets, item = (torch.from_numpy(part.astype(np.int64)) for part in (likes.indptr, likes.indices))
        kept = torch.from_numpy(build.once(recalled))
        nearest = swing(offsets, item, settings.neighbours, items=likes.shape[1], alpha=settings.alpha, kept=kept)
        return cls(fading(history, settings.fading), *nearest)
