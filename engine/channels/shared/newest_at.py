"""Places and what is new there: what the channels share whose items belong to a cell or a city."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.channels.shared.history import clicks
from headrace.channels.shared.publishing import publish_times, recalled
from headrace.channels.shared.two_hop import check_quota, recall_in_two_hops
from headrace.kernels.two_hop import Edges
from headrace.state import State
from headrace.training.build import Build
from headrace.types import Candidates, Requests

#: Rows of the log at the mean rate that every item starts with.
_PRIOR = 20.0


class NewestAt:
    """offsets int64 [P+1], item, published int64: each place's items, newest first, ties to the lower item."""

    def __init__(self, offsets: Tensor, item: Tensor, published: Tensor) -> None:
        self.offsets, self.item, self.published = offsets, item, published
        places = len(offsets) - 1
        self._seeds = Edges(torch.arange(places + 1), torch.arange(places), torch.ones(places, dtype=torch.float32))
        self._items = Edges(offsets, item, time=published)

    @classmethod
    def of(
        cls, build: Build, item: NDArray[np.int64], place: NDArray[np.integer], places: int, quality: float
    ) -> NewestAt:
        """Of the items (int64 [n], each of a place) those that may be recalled and are no worse than `quality`."""
        kept = (build.once(click_rates)[item] >= quality) & build.once(recalled)[item]
        item, place = item[kept], place[kept]
        published = publish_times(build.dataset.catalogue, build.logs)[item]
        order = np.lexsort((item, -published, place))
        offsets = np.searchsorted(place[order], np.arange(places + 1))
        return cls(torch.from_numpy(offsets), torch.from_numpy(item[order]), torch.from_numpy(published[order]))

    def recall(self, requests: Requests, place: Tensor, quota: int) -> Candidates:
        """The newest items of each request's place (int64 [B], -1 none); score = 1 / (1 + r), r = 0 for the newest
        published by the request's time."""
        check_quota(quota)
        asked = replace(requests, user=place)
        return recall_in_two_hops(asked, quota, self._seeds, self._items, limit=quota, now=requests.time)

    def state(self) -> State:
        return State.of(offsets=self.offsets, item=self.item, published=self.published)

    @classmethod
    def from_state(cls, state: State, places: int) -> NewestAt:
        item = state.tensor("item", torch.int64, None, least=0, below="items")
        published = state.tensor("published", torch.int64, len(item))
        return cls(state.offsets("offsets", places, len(item)), item, published)


def click_rates(build: Build, users: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """float64 [N]: each item's smoothed clicks a row of the logs, over the mean of all rows; a new item has 1.

    users: bool [U], whose rows alone count; None: everybody's.
    """
    items = len(build.dataset.catalogue)
    rows, clicked = np.zeros(items), np.zeros(items)
    for log in build.logs if users is None else [log.take(users[log.user]) for log in build.logs]:
        rows += np.bincount(log.item, minlength=items)
        clicked += np.bincount(log.item, clicks(log), minlength=items)
    mean = clicked.sum() / max(rows.sum(), 1)
    return (clicked + _PRIOR * mean) / (rows + _PRIOR) / mean if mean else np.ones(items)
