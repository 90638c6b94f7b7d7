"""Popular items of the categories that a user takes an interest in."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from headrace.channels import Channel, ChannelSettings, channel
from headrace.channels.shared.history import UserHistory, user_history
from headrace.channels.shared.popularity import popularity
from headrace.channels.shared.two_hop import recall_in_two_hops
from headrace.data import Dataset
from headrace.jagged import gather_rows, offsets_of, segment_of
from headrace.kernels.two_hop import Edges
from headrace.state import State
from headrace.training.build import Build
from headrace.types import Candidates, Requests


@channel
@dataclass(eq=False)
class PopularInCategory(Channel):
    """Recall of the popular items of the categories a user takes an interest in: sum over c of P(c | user) P(item | c).

    user_offsets int64 [U+1], category int64, interest int64: each user's interest in categories, that of the user's
    last items, counted for each category of an item. item_offsets int64 [C+1], item int64, share float32: each
    category's items with any click, most popular first, and their share of the category's popularity.
    """

    name = "popular_in_category"
    personalised = True

    class Settings(ChannelSettings):
        """Popular items of the user's categories."""

        quota: int = Field(default=300, ge=0, description="items it may bring a request; 0: it is not built")
        half_life_days: float = Field(
            default=7.0, gt=0, allow_inf_nan=True, description="age at which a click counts half; inf: all count alike"
        )
        last: int = Field(default=200, ge=1, description="a user's last items whose categories count")

    user_offsets: Tensor
    category: Tensor
    interest: Tensor
    item_offsets: Tensor
    item: Tensor
    share: Tensor
    _seeds: Edges = field(init=False, repr=False)
    _items: Edges = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # A user's last items give whole numbers far below 2^24, where float32 is exact.
        self._seeds = Edges(self.user_offsets, self.category, self.interest.float())
        self._items = Edges(self.item_offsets, self.item, self.share)

    @classmethod
    def needs(cls, dataset: Dataset) -> str | None:
        category = dataset.catalogue.category
        known = category is not None and len(category.values) > 0
        return None if known else "catalogue.category: expected the categories of some items, got none"

    @classmethod
    def fit(cls, build: Build, settings: Settings) -> PopularInCategory:
        """Index the interest of each user's last items by category, and the items of each by `popularity`.

        Raises ValueError for rows outside the tables.
        """
        catalogue, users = build.dataset.catalogue, len(build.dataset.users)
        assert catalogue.category is not None
        history = build.once(user_history, settings.last)
        # Copies: a reader's arrays may be read-only, which torch warns of.
        table = torch.tensor(catalogue.category.offsets), torch.tensor(catalogue.category.values, dtype=torch.int64)
        user, category, interest = _interest(history, *table)
        item_offsets, item, share = _popular_items(
            popularity(build.logs, len(catalogue), settings.half_life_days), *table
        )
        counts = torch.bincount(user, minlength=users)
        return cls(offsets_of(counts), category, interest, item_offsets, item, share)

    def recall(self, requests: Requests, quota: int) -> Candidates:
        """Each category gives its top items for its share of the quota, rounded up; the best `quota` of all remain.

        An item of several categories adds up what each that offers it gives: at most `quota` items come, maybe fewer.
        """
        return recall_in_two_hops(requests, quota, self._seeds, self._items, share=True)

    def state(self) -> State:
        return State({name: getattr(self, name) for name in _STATE})

    @classmethod
    def from_state(cls, state: State) -> PopularInCategory:
        item = state.tensor("item", torch.int64, None, least=0, below="items")
        item_offsets = state.offsets("item_offsets", None, len(item))
        category = state.tensor("category", torch.int64, None, least=0, below=len(item_offsets) - 1)
        return cls(
            state.offsets("user_offsets", "users", len(category)),
            category,
            state.tensor("interest", torch.int64, len(category), least=0),
            item_offsets,
            item,
            state.tensor("share", torch.float32, len(item), least=0),
        )


_STATE = ("user_offsets", "category", "interest", "item_offsets", "item", "share")


def _interest(history: UserHistory, offsets: Tensor, category: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(user, category, interest), int64 [nnz] each: what the user's items say of each of their categories."""
    index, item_offsets = gather_rows(offsets, history.item)
    entry = segment_of(item_offsets)
    user = segment_of(history.offsets)[entry]
    span = int(category.max()) + 1
    pair, owner = torch.unique(user * span + category[index], return_inverse=True)
    total = torch.zeros(len(pair), dtype=torch.int64).index_add_(0, owner, history.interest[entry].long())
    return pair // span, pair % span, total


def _popular_items(score: NDArray[np.float64], offsets: Tensor, category: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(offsets int64 [C+1], item int64, share float32) of each category's items, most popular first."""
    item, code = segment_of(offsets).numpy(), category.numpy()
    pairs = np.unique(np.stack([code, item], 1)[score[item] > 0], axis=0)  # an item may name a category twice
    code, item = pairs[:, 0], pairs[:, 1]
    counts = np.bincount(code, minlength=int(category.max()) + 1)
    order = np.lexsort((item, -score[item], code))
    code, item = code[order], item[order]
    share = score[item] / np.bincount(code, score[item], minlength=len(counts))[code]
    return offsets_of(torch.from_numpy(counts)), torch.from_numpy(item), torch.from_numpy(share.astype(np.float32))
