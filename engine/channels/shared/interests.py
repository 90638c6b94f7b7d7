"""Channels that recall by what a user takes an interest in (categories, keywords): user to codes to items."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from headrace.channels import Channel, ChannelSettings
from headrace.channels.shared.history import user_history
from headrace.channels.shared.popularity import popularity
from headrace.channels.shared.publishing import publish_times, recalled
from headrace.channels.shared.two_hop import recall_in_two_hops
from headrace.data import Dataset
from headrace.jagged import gather_rows, offsets_of, segment_of
from headrace.kernels.two_hop import Edges
from headrace.state import State
from headrace.training.build import Build
from headrace.types import Candidates, Requests

_C = TypeVar("_C", bound="Interests")
_PLURAL = {"category": "categories", "keyword": "keywords"}


class InterestSettings(ChannelSettings):
    """What every such channel can be told."""

    last: int = Field(default=200, ge=1, description="a user's last items whose categories or keywords count")


class PopularSettings(InterestSettings):
    """What those of popular items can be told."""

    half_life_days: float = Field(
        default=7.0, gt=0, allow_inf_nan=True, description="age at which a click counts half; inf: all count alike"
    )


@dataclass(eq=False)
class Interests(Channel):
    """column: the catalogue's, "category" or "keyword". user_offsets int64 [U+1], code int64, interest int64: each
    user's interest in codes, that of the user's last items, counted for each code of an item. item_offsets int64 [C+1],
    item int64: each code's items, best first. about: what is known of each of these items, as the channel says."""

    personalised = True
    column: ClassVar[str]
    #: Name of `about` in the state, and its type.
    _about: ClassVar[tuple[str, torch.dtype]]

    user_offsets: Tensor
    code: Tensor
    interest: Tensor
    item_offsets: Tensor
    item: Tensor
    about: Tensor
    _seeds: Edges = field(init=False, repr=False)
    _items: Edges = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # A user's last items give whole numbers far below 2^24, where float32 is exact.
        self._seeds = Edges(self.user_offsets, self.code, self.interest.float())
        self._items = self._edges()

    def _edges(self) -> Edges:
        raise NotImplementedError

    @classmethod
    def needs(cls, dataset: Dataset) -> str | None:
        lists = getattr(dataset.catalogue, cls.column)
        if lists is not None and len(lists.values):
            return None
        return f"catalogue.{cls.column}: expected the {_PLURAL[cls.column]} of some items, got none"

    def recall(self, requests: Requests, quota: int) -> Candidates:
        """Each code gives its first items for its share of the user's interest in the quota, rounded up; the best
        `quota` of all remain.

        An item of several codes adds up what each that offers it gives: at most `quota` items come, maybe fewer.
        """
        return recall_in_two_hops(requests, quota, self._seeds, self._items, share=True, now=requests.time)

    def state(self) -> State:
        tables = {name: getattr(self, name) for name in ("user_offsets", "interest", "item_offsets", "item")}
        return State({**tables, self.column: self.code, self._about[0]: self.about})

    @classmethod
    def from_state(cls: type[_C], state: State) -> _C:
        item = state.tensor("item", torch.int64, None, least=0, below="items")
        item_offsets = state.offsets("item_offsets", None, len(item))
        code = state.tensor(cls.column, torch.int64, None, least=0, below=len(item_offsets) - 1)
        name, dtype = cls._about
        return cls(
            state.offsets("user_offsets", "users", len(code)),
            code,
            state.tensor("interest", torch.int64, len(code), least=0),
            item_offsets,
            item,
            state.tensor(name, dtype, len(item), least=0 if dtype.is_floating_point else None),
        )


class PopularIn(Interests):
    """The popular items: sum over the codes c of P(c | user) P(item | c). about: float32, each item's share of its
    code's popularity."""

    _about = ("share", torch.float32)

    def _edges(self) -> Edges:
        return Edges(self.item_offsets, self.item, self.about)

    @classmethod
    def of(cls: type[_C], build: Build, settings: PopularSettings) -> _C:
        """Index the interest of each user's last items by code, and the items of each by `popularity`.

        Raises ValueError for rows outside the tables.
        """
        score = popularity(build.logs, len(build.dataset.catalogue), settings.half_life_days)
        code, item = build.once(pairs_of, cls.column)
        kept = score[item] > 0
        code, item = code[kept], item[kept]
        order = np.lexsort((item, -score[item], code))
        code, item = code[order], item[order]
        share = score[item] / np.bincount(code, score[item])[code]
        shares = torch.from_numpy(share.astype(np.float32))
        return cls(*_interests(build, cls.column, settings.last), *_table(build, cls.column, code, item), shares)


class NewestIn(Interests):
    """The newest items: sum over the codes c of P(c | user) / (1 + r), r = 0 for the code's newest item published by
    the request's time. about: int64, when each was published (see `publish_times`)."""

    _about = ("published", torch.int64)

    def _edges(self) -> Edges:
        return Edges(self.item_offsets, self.item, time=self.about)

    @classmethod
    def of(cls: type[_C], build: Build, settings: InterestSettings) -> _C:
        """Index the interest of each user's last items by code, and the items of each, newest first, ties to the lower
        item. Raises ValueError for rows outside the tables."""
        published = publish_times(build.dataset.catalogue, build.logs)
        code, item = build.once(pairs_of, cls.column)
        order = np.lexsort((item, -published[item], code))
        code, item = code[order], item[order]
        times = torch.from_numpy(published[item])
        return cls(*_interests(build, cls.column, settings.last), *_table(build, cls.column, code, item), times)


def pairs_of(build: Build, column: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(code, item), int64 [n] each: the codes of the items that may be recalled, each once."""
    offsets, code = _lists(build, column)
    item = segment_of(offsets).numpy()
    kept = build.once(recalled)[item]
    pairs = np.unique(np.stack([code.numpy(), item], 1)[kept], axis=0)
    return pairs[:, 0], pairs[:, 1]


def _lists(build: Build, column: str) -> tuple[Tensor, Tensor]:
    lists = getattr(build.dataset.catalogue, column)
    # Copies: a reader's arrays may be read-only, which torch warns of.
    return torch.tensor(lists.offsets), torch.tensor(lists.values, dtype=torch.int64)


def _interests(build: Build, column: str, last: int) -> tuple[Tensor, Tensor, Tensor]:
    """(offsets int64 [U+1], code int64, interest int64): what each user's last items say of each of their codes."""
    history = build.once(user_history, last)
    offsets, code = _lists(build, column)
    index, item_offsets = gather_rows(offsets, history.item)
    entry = segment_of(item_offsets)
    user = segment_of(history.offsets)[entry]
    span = int(code.max()) + 1
    pair, owner = torch.unique(user * span + code[index], return_inverse=True)
    total = torch.zeros(len(pair), dtype=torch.int64).index_add_(0, owner, history.interest[entry].long())
    counts = torch.bincount(pair // span, minlength=len(history))
    return offsets_of(counts), pair % span, total


def _table(build: Build, column: str, code: NDArray[np.int64], item: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """(offsets int64 [C+1], item) of items in the order of their codes."""
    counts = np.bincount(code, minlength=int(_lists(build, column)[1].max()) + 1)
    return offsets_of(torch.from_numpy(counts)), torch.from_numpy(item)
