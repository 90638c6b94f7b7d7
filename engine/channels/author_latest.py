"""The latest items of the authors that a user interacted with."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from headrace.channels import Channel, ChannelSettings, channel
from headrace.channels.shared.history import clicks, events, first_rows, total_by_pair
from headrace.channels.shared.publishing import publish_times
from headrace.channels.shared.two_hop import recall_in_two_hops
from headrace.data import UNKNOWN, Dataset, InteractionLog
from headrace.jagged import offsets_of
from headrace.kernels.two_hop import Edges
from headrace.state import State
from headrace.training.build import Build
from headrace.types import Candidates, Requests

#: What makes an author one of the user's; a click alone doesn't, unless the logs know nothing more.
_ENGAGEMENT = ("like", "collect", "share", "follow")


@channel
@dataclass(eq=False)
class AuthorLatest(Channel):
    """Recall of the newest items of the authors whose items a user liked, collected, shared or followed.

    A user's interest in an author is one point for each of these four; when not one row of the logs has any of them,
    one point for each click. user_offsets int64 [U+1], author int64, interest float32: each user's top authors, by
    interest, ties to the one met last. item_offsets int64 [A+1], item int64, published int64: each
    author's items, newest first. per_author: int64 0-d, the most items of one author in a request.
    """

    name = "author_latest"
    personalised = True

    class Settings(ChannelSettings):
        """The latest items of the user's authors."""

        quota: int = Field(default=300, ge=0, description="items it may bring a request; 0: it is not built")
        authors: int = Field(default=20, ge=1, description="authors of a user that count, those of most interest")
        per_author: int = Field(default=10, ge=1, description="items of one author in a request, the newest")

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
    def fit(cls, build: Build, settings: Settings) -> AuthorLatest:
        """Index the top authors of each user, and each author's items by publish time, newest first.

        An item without a publish time counts as published when it first appears in the logs, one that never does as the
        oldest; ties go to the lower item. Raises ValueError for rows outside the tables.
        """
        catalogue, logs, users = build.dataset.catalogue, build.logs, len(build.dataset.users)
        assert catalogue.author is not None
        of_item = catalogue.author.astype(np.int64)
        rows = events(logs, _engagement, users, len(catalogue))
        if not len(rows.user):
            rows = events(logs, clicks, users, len(catalogue))
        met = rows._replace(item=of_item[rows.item])
        met = met.take(met.item != UNKNOWN)
        pairs = total_by_pair(met, met.item)
        pairs = pairs.take(np.lexsort((-pairs.points, pairs.user)))
        user_offsets, top = first_rows(pairs.user, users, settings.authors)

        published = publish_times(catalogue, logs)
        order = np.lexsort((-published, of_item))
        order = order[of_item[order] != UNKNOWN]
        return cls(
            torch.from_numpy(user_offsets),
            torch.from_numpy(pairs.item[top]),
            torch.from_numpy(pairs.points[top].astype(np.float32)),
            offsets_of(torch.from_numpy(np.bincount(of_item[order]))),
            torch.from_numpy(order),
            torch.from_numpy(published[order]),
            torch.tensor(settings.per_author),
        )

    def recall(self, requests: Requests, quota: int) -> Candidates:
        """score = interest in the author / (1 + r), r = 0 for the author's newest item published by the request's time.

        Later items of a favourite author so give way to the newest of the others.
        """
        return recall_in_two_hops(requests, quota, self._authors, self._items, self._most, now=requests.time)

    def state(self) -> State:
        return State({name: getattr(self, name) for name in _STATE})

    @classmethod
    def from_state(cls, state: State) -> AuthorLatest:
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


def _engagement(log: InteractionLog) -> NDArray[np.integer]:
    points = np.zeros(len(log), np.int64)
    for name in _ENGAGEMENT:
        if name in log.signals:
            points += log.signals[name] == 1
    return points
