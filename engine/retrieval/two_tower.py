"""The two-tower channel: a user tower and an item tower meet in one cosine (Yi et al., RecSys 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from headrace.jagged import gather_rows, offsets_of
from headrace.types import Candidates, Requests
from torch import Tensor, nn
from torch.nn import functional as F

#: Beyond this many rows a table's gradients are sparse: a dense Adam step over the rest would cost more.
SPARSE_ROWS = 250_000


@dataclass(frozen=True)
class Features:
    """Categorical features of n rows, as rows of one table.

    offsets: int64 [n+1]. codes: int64 [nnz], rows of the table; a field's first row stands for "unknown".
    weights: float32 [nnz]; 1, or 1/length for the values of a bag. sizes: field -> how many rows of the table it owns,
    in the table's order.
    """

    offsets: Tensor
    codes: Tensor
    weights: Tensor
    sizes: dict[str, int]


def _table(rows: int, dim: int, std: float) -> nn.Embedding:
    table = nn.Embedding(rows, dim, sparse=rows > SPARSE_ROWS)
    nn.init.normal_(table.weight, std=std) if std else nn.init.zeros_(table.weight)
    return table


class Tower(nn.Module):
    """A sum of embeddings -> a unit vector: an MLP with one hidden layer beside an identity path.

    The sum is a concatenation followed by a linear layer, with that layer folded into each field's table.
    """

    def __init__(self, fields: int, dim: int, hidden: int) -> None:
        super().__init__()
        self.fields = _table(max(fields, 1), dim, 0.02)
        self.inner = nn.Linear(dim, hidden)
        self.outer = nn.Linear(hidden, dim)

    def pool(self, features: Features, rows: Tensor) -> Tensor:
        """float32 [m, dim]: the sum of the field embeddings of `rows` (int64 [m])."""
        index, offsets = gather_rows(features.offsets, rows)
        return F.embedding_bag(
            features.codes[index],
            self.fields.weight,
            offsets[:-1],
            mode="sum",
            sparse=self.fields.sparse,
            per_sample_weights=features.weights[index],
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x + self.outer(torch.relu(self.inner(x))), dim=1)  # type: ignore[no-any-return]


class TwoTowerModel(nn.Module):
    """Both towers. Index 0 of the id tables stands for "unknown" or padding; row r of a table is index r + 1."""

    def __init__(
        self, users: int, items: int, user_fields: int, item_fields: int, content: int, dim: int, hidden: int
    ) -> None:
        super().__init__()
        self.user = Tower(user_fields, dim, hidden)
        self.item = Tower(item_fields, dim, hidden)
        self.user_id = _table(users + 1, dim, 0.0)
        self.item_id = _table(items + 1, dim, 0.05)
        self.recent = nn.Linear(dim, dim, bias=False)
        nn.init.eye_(self.recent.weight)
        self.content = nn.Linear(content, dim, bias=False) if content else None

    def user_vectors(self, users: Tensor, recent: Tensor, features: Features) -> Tensor:
        """float32 [m, dim] unit vectors of `users` (int64 [m]) whose last items are `recent` (int64 [m, n], -1 pad)."""
        mean = F.embedding_bag(
            recent + 1, self.item_id.weight, mode="mean", sparse=self.item_id.sparse, padding_idx=0
        )
        x = self.user_id(users + 1) + self.recent(mean) + self.user.pool(features, users)
        return self.user(x)  # type: ignore[no-any-return]

    def item_vectors(self, items: Tensor, features: Features, content: Tensor | None) -> Tensor:
        """float32 [m, dim] unit vectors of `items` (int64 [m]); `content` is float32 [N, d] of the whole catalogue."""
        x = self.item_id(items + 1) + self.item.pool(features, items)
        if self.content is not None and content is not None:
            x = x + self.content(content[items])
        return self.item(x)  # type: ignore[no-any-return]
