"""Popular items: of all, and of the categories a user takes an interest in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.channels.shared.history import UserHistory, clicks, events
from headrace.channels.shared.two_hop import check_quota, recall_in_two_hops
from headrace.data import Catalogue, InteractionLog
from headrace.jagged import gather_rows, offsets_of, segment_of
from headrace.kernels.two_hop import Edges
from headrace.types import Candidates, Requests

_DAY_MS = 86_400_000


def popularity(logs: Sequence[InteractionLog], items: int, half_life_days: float) -> NDArray[np.float64]:
    """float64 [N]: the clicks of each item, one of age t counting 2^(-t / half-life); age runs back from the last row.

    A log without clicks counts its rows with any interest. Raises ValueError when half_life_days isn't above 0 (it may
    be inf: plain counts) or an item row lies outside the table.
    """
    if not half_life_days > 0:
        raise ValueError(f"half_life_days: expected more than 0, got {half_life_days}")
    rows = events(logs, clicks, items=items)
    now = max((int(log.time[-1]) for log in logs if len(log)), default=0)
    weight = np.exp2((rows.time - now) / (half_life_days * _DAY_MS))
    return np.bincount(rows.item, weight, minlength=items).astype(np.float64, copy=False)


@dataclass(eq=False)
class Popular:
    """Recall of the items most popular with everybody, for known and unknown users alike.

    item: int64 [M], the items with any click, most popular first, ties to the lower item. score: float32 [M].
    """

    name = "popular"
    personalised = False

    item: Tensor
    score: Tensor

    @classmethod
    def fit(cls, logs: Sequence[InteractionLog], items: int, half_life_days: float = 7.0) -> Popular:
        """Rank the items by `popularity` (see there for the errors)."""
        score = popularity(logs, items, half_life_days)
        # Equal sums may differ in their last bits by the order of their additions; 40 of 53 bits decide.
        mantissa, power = np.frexp(score)
        order = np.argsort(-np.ldexp(np.round(mantissa * 2**40), power), kind="stable")
        order = order[score[order] > 0]
        return cls(torch.from_numpy(order), torch.from_numpy(score[order].astype(np.float32)))

    def recall(self, requests: Requests, quota: int) -> Candidates:
        """The same items for each request; score = decayed clicks."""
        check_quota(quota)
        batch, count = len(requests), min(quota, len(self.item))
        offsets = torch.arange(batch + 1, device=self.item.device) * count
        item = self.item[:count].repeat(batch)
        return Candidates(offsets, item, self.score[:count].repeat(batch), torch.zeros_like(item))

    def state(self) -> dict[str, Tensor]:
        return {"item": self.item, "score": self.score}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Popular:
        return cls(state["item"], state["score"])


@dataclass(eq=False)
class PopularInCategory:
    """Recall of the popular items of the categories a user takes an interest in: sum over c of P(c | user) P(item | c).

    user_offsets int64 [U+1], category int64, interest int64: each user's interest in categories, that of the user's
    last items, counted for each category of an item. item_offsets int64 [C+1], item int64, share float32: each
    category's items with any click, most popular first, and their share of the category's popularity.
    """

    name = "popular_in_category"
    personalised = True

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

    @staticmethod
    def available(catalogue: Catalogue) -> bool:
        """Whether the catalogue knows any category; without one there is no such channel."""
        return catalogue.category is not None and len(catalogue.category.values) > 0

    @classmethod
    def fit(
        cls,
        logs: Sequence[InteractionLog],
        users: int,
        catalogue: Catalogue,
        half_life_days: float = 7.0,
        last: int = 200,
    ) -> PopularInCategory:
        """Index the interest of each user's last `last` items by category, and the items of each by `popularity`.

        Raises ValueError when the catalogue has no category (see `available`), or for bad settings or rows.
        """
        if catalogue.category is None or not cls.available(catalogue):
            raise ValueError("catalogue.category: expected the categories of some items, got none")
        history = UserHistory.build(logs, users, last, len(catalogue))
        # Copies: a reader's arrays may be read-only, which torch warns of.
        table = torch.tensor(catalogue.category.offsets), torch.tensor(catalogue.category.values, dtype=torch.int64)
        user, category, interest = _interest(history, *table)
        item_offsets, item, share = _popular_items(popularity(logs, len(catalogue), half_life_days), *table)
        counts = torch.bincount(user, minlength=users)
        return cls(offsets_of(counts), category, interest, item_offsets, item, share)

    def recall(self, requests: Requests, quota: int) -> Candidates:
        """Each category gives its top items for its share of the quota, rounded up; the best `quota` of all remain.

        An item of several categories adds up what each that offers it gives: at most `quota` items come, maybe fewer.
        """
        return recall_in_two_hops(requests, quota, self._seeds, self._items, share=True)

    def state(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in _STATE}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> PopularInCategory:
        return cls(*(state[name] for name in _STATE))


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
