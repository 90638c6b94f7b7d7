"""Channels that recall items like those a user took an interest in; they differ in what makes items alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import torch
from pydantic import Field
from torch import Tensor

from headrace.channels import Channel, ChannelSettings
from headrace.channels.shared.history import UserHistory
from headrace.channels.shared.two_hop import recall_in_two_hops
from headrace.jagged import gather_rows
from headrace.kernels.two_hop import Edges
from headrace.state import State
from headrace.types import Candidates, Requests

_C = TypeVar("_C", bound="ItemToItem")


class ItemToItemSettings(ChannelSettings):
    """What every such channel can be told."""

    neighbours: int = Field(default=50, ge=1, description="most similar items kept of each item")
    last: int = Field(
        default=200, ge=1, description="a user's last items that count; a heavy user costs at most their square"
    )


@dataclass(eq=False)
class ItemToItem(Channel):
    """history: the last items of each user. offsets int64 [N+1], item int64, similarity float32: the neighbours of each
    item, most similar first."""

    personalised = True

    history: UserHistory
    offsets: Tensor
    item: Tensor
    similarity: Tensor
    _seeds: Edges = field(init=False, repr=False)
    _neighbours: Edges = field(init=False, repr=False)

    def __post_init__(self) -> None:
        history = self.history
        self._seeds = Edges(history.offsets, history.item, history.interest)
        self._neighbours = Edges(self.offsets, self.item, self.similarity)

    def recall(self, requests: Requests, quota: int) -> Candidates:
        """score = sum over the user's last items j of like(user, j) * sim(j, item), in float64, rounded to float32."""
        return recall_in_two_hops(requests, quota, self._seeds, self._neighbours)

    def neighbours(self, items: Tensor, k: int) -> Candidates:
        """The first `k` of each item's list, under their similarity."""
        index, offsets = gather_rows(self.offsets, items, k)
        found = self.item.index_select(0, index)
        return Candidates(offsets, found, self.similarity.index_select(0, index), torch.zeros_like(found))

    def state(self) -> State:
        parts = {"offsets": self.offsets, "item": self.item, "similarity": self.similarity}
        return State.of(history=self.history.state(), **parts)

    @classmethod
    def from_state(cls: type[_C], state: State) -> _C:
        history = UserHistory.from_state(state.under("history"))
        item = state.tensor("item", torch.int64, None, least=0, below="items")
        offsets = state.offsets("offsets", "items", len(item))
        return cls(history, offsets, item, state.tensor("similarity", torch.float32, len(item)))
