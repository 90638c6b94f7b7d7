"""The items most popular with everybody."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from headrace.channels import Channel, ChannelSettings, channel
from headrace.channels.shared.popularity import by_score, popularity
from headrace.channels.shared.publishing import recalled
from headrace.channels.shared.two_hop import check_quota
from headrace.state import State
from headrace.training.build import Build
from headrace.types import Candidates, Requests


@channel
@dataclass(eq=False)
class Popular(Channel):
    """Recall of the items most popular with everybody, for known and unknown users alike.

    item: int64 [M], the items with any click, most popular first, ties to the lower item. score: float32 [M].
    """

    name = "popular"
    personalised = False

    class Settings(ChannelSettings):
        """Popular items, which users without history get too."""

        quota: int = Field(default=300, ge=0, description="items it may bring a request; 0: it is not built")
        half_life_days: float = Field(
            default=7.0, gt=0, allow_inf_nan=True, description="age at which a click counts half; inf: all count alike"
        )

    item: Tensor
    score: Tensor

    @classmethod
    def fit(cls, build: Build, settings: Settings) -> Popular:
        """Rank the items that may be recalled by `popularity` in the log; an older history, known only in order, has no
        say."""
        score = popularity([build.dataset.log], len(build.dataset.catalogue), settings.half_life_days)
        order = by_score(score)
        order = order[(score[order] > 0) & build.once(recalled)[order]]
        return cls(torch.from_numpy(order), torch.from_numpy(score[order].astype(np.float32)))

    def recall(self, requests: Requests, quota: int) -> Candidates:
        """The same items for each request; score = decayed clicks."""
        check_quota(quota)
        batch, count = len(requests), min(quota, len(self.item))
        offsets = torch.arange(batch + 1, device=self.item.device) * count
        item = self.item[:count].repeat(batch)
        return Candidates(offsets, item, self.score[:count].repeat(batch), torch.zeros_like(item))

    def state(self) -> State:
        return State.of(item=self.item, score=self.score)

    @classmethod
    def from_state(cls, state: State) -> Popular:
        item = state.tensor("item", torch.int64, None, least=0, below="items", distinct=True)
        return cls(item, state.tensor("score", torch.float32, len(item)))
