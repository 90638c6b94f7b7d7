"""Channels that recall the newest items of authors; they differ in whose authors they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from headrace.channels import Channel, ChannelSettings
from headrace.channels.shared.history import Points, clicks, events, first_rows, total_by_pair
from headrace.channels.shared.publishing import publish_times, recalled
from headrace.channels.shared.two_hop import recall_in_two_hops
from headrace.data import UNKNOWN, Dataset, InteractionLog
from headrace.jagged import offsets_of
from headrace.kernels.two_hop import Edges
from headrace.state import State
from headrace.training.build import Build
from headrace.types import Candidates, Requests

#: What makes an author one of the user's; a click alone doesn't, unless the logs know nothing more.
ENGAGEMENT = ("like", "collect", "share", "follow")

_C = TypeVar("_C", bound="AuthorItems")


class AuthorSettings(ChannelSettings):
    """What every such channel can be told."""

    authors: int = Field(default=20, ge=1, description="authors of a user that count, those of most interest")
    per_author: int = Field(default=10, ge=1, description="items of one author in a request, the newest")


class UserAuthors(NamedTuple):
    """offsets int64 [U+1], author int64, interest float32: each user's authors, by interest, ties to the one met
    last."""

    offsets: Tensor
    author: Tensor
    interest: Tensor


@dataclass(eq=False)
class AuthorItems(Channel):
    """user_offsets int64 [U+1], author int64, interest float32: each user's authors. item_offsets int64 [A+1], item
    int64, published int64: each author's items, newest first. per_author: int64 0-d, the most items of one author in a
    request."""

    personalised = True

    user_offsets: Tensor
    author: Tensor
    interest: Tensor
    item_offsets: Tensor
    item: Tensor
    published: Tensor
    per_author: Tensor
    _authors: Edges = field(init=False, repr=False)
    _items: Edges = field(init=False, repr=False)
    _most: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._authors = Edges(self.user_offsets, self.author, self.interest)
        self._items = Edges(self.item_offsets, self.item, time=self.published)
        self._most = int(self.per_author)

    @classmethod
    def needs(cls, dataset: Dataset) -> str | None:
        author = dataset.catalogue.author
        known = author is not None and bool((author != UNKNOWN).any())
        return None if known else "catalogue.author: expected the author of some items, got none"

    @classmethod
    def of(cls: type[_C], build: Build, authors: UserAuthors, per_author: int) -> _C:
        """The channel of these authors; each has its items by publish time, newest first.

        An item without a publish time counts as published when it first appears in the logs, one that never does as the
        oldest; ties go to the lower item.
        """
        return cls(*authors, *build.once(newest_by_author), torch.tensor(per_author))

    def recall(self, requests: Requests, quota: int) -> Candidates:
        """score = interest in the author / (1 + r), r = 0 for the author's newest item published by the request's time.

        Later items of a favourite author so give way to the newest of the others.
        """
        return recall_in_two_hops(requests, quota, self._authors, self._items, self._most, now=requests.time)

    def state(self) -> State:
        return State({name: getattr(self, name) for name in _STATE})

    @classmethod
    def from_state(cls: type[_C], state: State) -> _C:
        item = state.tensor("item", torch.int64, None, least=0, below="items")
        item_offsets = state.offsets("item_offsets", None, len(item))
        author = state.tensor("author", torch.int64, None, least=0, below=len(item_offsets) - 1)
        return cls(
            state.offsets("user_offsets", "users", len(author)),
            author,
            state.tensor("interest", torch.float32, len(author)),
            item_offsets,
            item,
            state.tensor("published", torch.int64, len(item)),
            state.tensor("per_author", torch.int64, least=1),
        )


_STATE = ("user_offsets", "author", "interest", "item_offsets", "item", "published", "per_author")


def engagement(log: InteractionLog) -> NDArray[np.integer]:
    """One point for each of `ENGAGEMENT`."""
    points = np.zeros(len(log), np.int64)
    for name in ENGAGEMENT:
        if name in log.signals:
            points += log.signals[name] == 1
    return points


def engaging(logs: Sequence[InteractionLog]) -> Points:
    """What makes an author one of the user's in these logs: engagement; where not one row has any, clicks."""
    return engagement if any(engagement(log).any() for log in logs) else clicks


def top_authors(build: Build, points: Points, limit: int) -> UserAuthors:
    """The `limit` authors of each user with the most points. Raises ValueError for rows outside the tables."""
    catalogue, users = build.dataset.catalogue, len(build.dataset.users)
    assert catalogue.author is not None
    rows = events(build.logs, points, users, len(catalogue))
    met = rows._replace(item=catalogue.author.astype(np.int64)[rows.item])
    met = met.take(met.item != UNKNOWN)
    pairs = total_by_pair(met, met.item)
    pairs = pairs.take(np.lexsort((-pairs.points, pairs.user)))
    offsets, top = first_rows(pairs.user, users, limit)
    tables = offsets, pairs.item[top], pairs.points[top].astype(np.float32)
    return UserAuthors(*map(torch.from_numpy, tables))


def newest_by_author(build: Build) -> tuple[Tensor, Tensor, Tensor]:
    """(offsets int64 [A+1], item int64, published int64): each author's items that may be recalled, newest first."""
    catalogue = build.dataset.catalogue
    assert catalogue.author is not None
    of_item = catalogue.author.astype(np.int64)
    published = publish_times(catalogue, build.logs)
    order = np.lexsort((-published, of_item))
    order = order[(of_item[order] != UNKNOWN) & build.once(recalled)[order]]
    counts = np.bincount(of_item[order], minlength=int(of_item.max()) + 1)
    return offsets_of(torch.from_numpy(counts)), torch.from_numpy(order), torch.from_numpy(published[order])
