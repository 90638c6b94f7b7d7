"""UserCF: what users like this one took an interest in."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from pydantic import Field
from torch import Tensor

from headrace.channels import Channel, ChannelSettings, channel
from headrace.channels.shared.history import UserHistory, user_history
from headrace.channels.shared.item_to_item import among, fading, latest_likes
from headrace.channels.shared.publishing import recalled
from headrace.channels.shared.two_hop import recall_in_two_hops
from headrace.kernels.two_hop import Edges
from headrace.similarity.neighbours import nearest_users
from headrace.state import State
from headrace.training.build import Build
from headrace.types import Candidates, Requests


@channel
@dataclass(eq=False)
class UserCF(Channel):
    """Recall by user-to-user collaborative filtering (Resnick et al. 1994).

    history: what each user brings others, those of the last items that may be recalled. offsets int64 [U+1], user
    int64, similarity float32: the users most like each, most similar first.
    """

    name = "usercf"
    personalised = True

    history: UserHistory
    offsets: Tensor
    user: Tensor
    similarity: Tensor
    _users: Edges = field(init=False, repr=False)
    _items: Edges = field(init=False, repr=False)

    class Settings(ChannelSettings):
        """What similar users like."""

        neighbours: int = Field(default=100, ge=1, description="most similar users kept of each user")
        last: int = Field(default=200, ge=1, description="a user's last items that count")
        audience: int = Field(
            default=2000,
            ge=2,
            description="users of an item that make users alike, those of the latest interest; an item costs at most "
            "their square",
        )
        discount: bool = Field(
            default=True, description="an item that two users share counts for 1 / ln(1 + users who like it)"
        )
        fading: float = Field(
            default=0.5,
            ge=0,
            le=10,
            description="interest in a similar user's item is divided by this power of its place from the last; 0: all "
            "say as much",
        )

    def __post_init__(self) -> None:
        history = self.history
        self._users = Edges(self.offsets, self.user, self.similarity)
        self._items = Edges(history.offsets, history.item, history.interest)

    @classmethod
    def fit(cls, build: Build, settings: Settings) -> UserCF:
        """Index the last items of each user and the most similar users of each user, ties to the lower user.

        Raises ValueError for rows outside the tables.
        """
        history = build.once(user_history, settings.last)
        likes = latest_likes(history, len(build.dataset.catalogue), settings.audience)
        faded = fading(history, settings.fading)
        brought = UserHistory(*among(build.once(recalled), faded.offsets, faded.item, faded.interest, faded.time))
        # A user who brings nothing would take a place.
        kept = brought.offsets.diff().numpy() > 0
        return cls(brought, *nearest_users(likes, settings.neighbours, settings.discount, kept))

    def recall(self, requests: Requests, quota: int) -> Candidates:
        """score = the sum over similar users v of sim(user, v) * like(v, item), in float64, rounded to float32."""
        return recall_in_two_hops(requests, quota, self._users, self._items)

    def state(self) -> State:
        parts = {"offsets": self.offsets, "user": self.user, "similarity": self.similarity}
        return State.of(history=self.history.state(), **parts)

    @classmethod
    def from_state(cls, state: State) -> UserCF:
        user = state.tensor("user", torch.int64, None, least=0, below="users")
        offsets = state.offsets("offsets", "users", len(user))
        history = UserHistory.from_state(state.under("history"))
        return cls(history, offsets, user, state.tensor("similarity", torch.float32, len(user)))
