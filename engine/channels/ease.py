"""EASE: items whose likes the user's own likes predict, by a linear model with a closed form."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_array
from torch import Tensor

from headrace.channels import Channel, ChannelSettings, channel
from headrace.channels.shared.history import user_history
from headrace.channels.shared.publishing import recalled
from headrace.channels.shared.two_hop import check_quota, check_users
from headrace.jagged import gather_rows, top_per_segment
from headrace.kernels.embedding_bag import EmbeddingTables, embedding_bag
from headrace.similarity.ease import ease_weights, most_liked
from headrace.state import State
from headrace.training.build import Build
from headrace.types import Candidates, Requests


@channel
@dataclass(eq=False)
class Ease(Channel):
    """Recall by EASE (Steck 2019) over the most liked items.

    item: int64 [m], rising. weight: float32 [m, m], what a like of a row's item adds to the score of a column's.
    offsets: int64 [U+1]. row: int64 [nnz], each user's last items as rows of `item`.
    """

    name = "ease"
    personalised = True

    item: Tensor
    weight: Tensor
    offsets: Tensor
    row: Tensor
    _table: EmbeddingTables = field(init=False, repr=False)

    class Settings(ChannelSettings):
        """A linear model of who likes what, over the most liked items."""

        most: int = Field(
            default=5000,
            ge=1,
            description="items that count, the most liked ones; the build takes 32 bytes times their square, and the "
            "snapshot 4",
        )
        l2: float = Field(default=500.0, gt=0, description="how strongly weights are drawn to 0, in users")
        last: int = Field(default=200, ge=1, description="a user's last items that count")

    def __post_init__(self) -> None:
        self._table = EmbeddingTables([self.weight])
        # The table's copy alone stays in memory.
        self.weight = self._table.values.view(len(self.item), -1)[:, : len(self.item)]

    @classmethod
    def fit(cls, build: Build, settings: Settings) -> Ease:
        """Fit to the most liked items, ties to the lower. Raises ValueError for rows outside the tables."""
        history = build.once(user_history, settings.last)
        items = len(build.dataset.catalogue)
        likes = csr_array(
            (np.ones(len(history.item)), history.item.numpy(), history.offsets.numpy()), shape=(len(history), items)
        )
        item = most_liked(likes, settings.most)
        kept = likes[:, item]
        kept.sort_indices()
        offsets, row = (torch.from_numpy(part.astype(np.int64)) for part in (kept.indptr, kept.indices))
        weight = ease_weights(kept, settings.l2)
        # What is too old says something of others; nothing says anything of it.
        weight[:, ~build.once(recalled)[item]] = 0
        return cls(torch.from_numpy(item), weight, offsets, row)

    def recall(self, requests: Requests, quota: int) -> Candidates:
        """score = the sum of the weights of the user's items, in float32; items with none above 0 are left out.

        A request costs m numbers for each item of its user, and 12 m bytes of memory.
        """
        check_quota(quota)
        check_users(requests, len(self.offsets) - 1)
        index, bags = gather_rows(self.offsets, requests.user)
        score = embedding_bag(self._table, self.row[index], bags).flatten()
        batch, width = len(requests), len(self.item)
        items = self.item.repeat(batch)
        best, _ = top_per_segment(torch.arange(batch + 1) * width, score, items, quota)
        best = best[score[best] > 0]
        counts = torch.bincount(best // width, minlength=batch)
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return Candidates(offsets, items[best], score[best], torch.zeros_like(best))

    def state(self) -> State:
        return State.of(item=self.item, weight=self.weight.contiguous(), offsets=self.offsets, row=self.row)

    @classmethod
    def from_state(cls, state: State) -> Ease:
        item = state.tensor("item", torch.int64, None, least=0, below="items", rising=True)
        row = state.tensor("row", torch.int64, None, least=0, below=len(item))
        weight = state.tensor("weight", torch.float32, len(item), len(item))
        return cls(item, weight, state.offsets("offsets", "users", len(row)), row)
