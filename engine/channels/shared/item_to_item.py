"""Channels that recall items like those a user took an interest in; they differ in what makes items alike."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array
from torch import Tensor

from headrace.channels import Channel, ChannelSettings
from headrace.channels.shared.history import UserHistory, first_rows
from headrace.channels.shared.two_hop import check_quota, recall_in_two_hops
from headrace.jagged import gather_rows, segment_of, top_per_segment
from headrace.kernels.two_hop import Edges
from headrace.state import State
from headrace.types import Candidates, Requests

_C = TypeVar("_C", bound="ItemToItem")
_ALL = 1 << 30


class ItemToItemSettings(ChannelSettings):
    """What every such channel can be told."""

    neighbours: int = Field(default=50, ge=1, description="most similar items kept of each item")
    last: int = Field(
        default=200, ge=1, description="a user's last items that count; a heavy user costs at most their square"
    )
    fading: float = Field(
        default=1.0,
        ge=0,
        le=10,
        description="interest in a user's item is divided by this power of its place from the last; 0: all say as much",
    )


def likes_of(history: UserHistory, items: int) -> csr_array:
    """float64 users x items: the interest of each user in each of their last items."""
    parts = history.interest.double().numpy(), history.item.numpy(), history.offsets.numpy()
    return csr_array(parts, shape=(len(history), items))


def latest_likes(history: UserHistory, items: int, audience: int) -> csr_array:
    """float64 users x items: 1 where an item is among the user's last and the user among its latest `audience`."""
    users = len(history)
    user, item = np.repeat(np.arange(users), history.offsets.diff().numpy()), history.item.numpy()
    order = np.lexsort((user, -history.time.numpy(), item))
    _, kept = first_rows(item[order], items, audience)
    order = order[kept]
    return csr_array((np.ones(len(order)), (user[order], item[order])), shape=(users, items))


def fading(history: UserHistory, power: float) -> UserHistory:
    """The same items, interest in a user's last but n divided by (1 + n)^power."""
    later = torch.arange(len(history.item)) - history.offsets[segment_of(history.offsets)]
    weight = history.interest.double() / (1 + later).double() ** power
    # Among settings, not so far that float32 would end.
    return replace(history, interest=weight.clamp_min(1e-37).float())


def among(kept: NDArray[np.bool_], offsets: Tensor, item: Tensor, *columns: Tensor) -> tuple[Tensor, ...]:
    """Those entries of the lists whose item is kept (bool [N]): their offsets, items and what else is told of them."""
    index = torch.from_numpy(kept)[item].nonzero().squeeze(1)
    return torch.searchsorted(index, offsets), item[index], *(column[index] for column in columns)


@dataclass(eq=False)
class ItemToItem(Channel):
    """history: the last items of each user. offsets int64 [N+1], item int64, similarity float32: the neighbours of each
    item, most similar first. base: float32 [N], what a candidate has before any neighbour; None: 0."""

    personalised = True

    history: UserHistory
    offsets: Tensor
    item: Tensor
    similarity: Tensor
    base: Tensor | None = None
    _seeds: Edges = field(init=False, repr=False)
    _neighbours: Edges = field(init=False, repr=False)

    def __post_init__(self) -> None:
        history = self.history
        self._seeds = Edges(history.offsets, history.item, history.interest)
        self._neighbours = Edges(self.offsets, self.item, self.similarity)

    def recall(self, requests: Requests, quota: int) -> Candidates:
        """score = base(item) + sum over the user's last items j of like(user, j) * sim(j, item), the sum in float64,
        rounded to float32."""
        check_quota(quota)
        if self.base is None:
            return recall_in_two_hops(requests, quota, self._seeds, self._neighbours)
        found = recall_in_two_hops(requests, _ALL, self._seeds, self._neighbours)
        score = found.score + self.base[found.item]
        best, offsets = top_per_segment(found.offsets, score, found.item, quota)
        return Candidates(offsets, found.item[best], score[best], torch.zeros_like(best))

    def neighbours(self, items: Tensor, k: int) -> Candidates:
        """The first `k` of each item's list, under their similarity."""
        index, offsets = gather_rows(self.offsets, items, k)
        found = self.item.index_select(0, index)
        return Candidates(offsets, found, self.similarity.index_select(0, index), torch.zeros_like(found))

    def state(self) -> State:
        parts = {"offsets": self.offsets, "item": self.item, "similarity": self.similarity}
        if self.base is not None:
            parts["base"] = self.base
        return State.of(history=self.history.state(), **parts)

    @classmethod
    def from_state(cls: type[_C], state: State) -> _C:
        history = UserHistory.from_state(state.under("history"))
        item = state.tensor("item", torch.int64, None, least=0, below="items")
        offsets = state.offsets("offsets", "items", len(item))
        similarity = state.tensor("similarity", torch.float32, len(item))
        base = state.tensor("base", torch.float32, len(offsets) - 1) if "base" in state.tensors else None
        return cls(history, offsets, item, similarity, base)
