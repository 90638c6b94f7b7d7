"""Of whom and of what statistics are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headrace.data.dataset import Catalogue, InteractionLog
from headrace.features.arrays import tensor_of
from headrace.state import State


@dataclass(frozen=True)
class Keys:
    """The entities of q queries, each int64 [q], -1 unknown. context: name -> int64 [q]."""

    user: Tensor
    item: Tensor
    author: Tensor
    category: Tensor
    context: dict[str, Tensor]


@dataclass(frozen=True)
class ItemKeys:
    """author, category (the first): int64 [items], -1 unknown."""

    author: Tensor
    category: Tensor

    def __len__(self) -> int:
        return len(self.author)

    @classmethod
    def fit(cls, catalogue: Catalogue) -> ItemKeys:
        missing = np.full(len(catalogue), -1, np.int32)
        author = missing if catalogue.author is None else catalogue.author
        return cls(*(tensor_of(codes.astype(np.int64)) for codes in (author, catalogue.first_category())))

    def keys(self, user: Tensor, item: Tensor, context: dict[str, Tensor]) -> Keys:
        """The entities that statistics are kept of, for `user` and `item` (int64 [q] rows)."""
        return Keys(user, item, self.author.index_select(0, item), self.category.index_select(0, item), context)

    def log_keys(self, log: InteractionLog) -> Keys:
        """`keys` of every row of `log`."""
        context = {name: tensor_of(codes).long() for name, codes in log.context.items()}
        return self.keys(tensor_of(log.user).long(), tensor_of(log.item).long(), context)

    def state(self) -> State:
        return State.of(author=self.author, category=self.category)

    @classmethod
    def from_state(cls, state: State) -> ItemKeys:
        author = state.tensor("author", torch.int64, "items", least=-1)
        return cls(author, state.tensor("category", torch.int64, len(author), least=-1))
