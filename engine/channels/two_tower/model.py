"""The two towers: user -> unit vector, item -> unit vector; their cosine estimates the user's interest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headrace.channels.shared.tables import embedding_table
from headrace.jagged import gather_rows


@dataclass(frozen=True)
class Features:
    """Categorical features of n rows, as codes of one table.

    offsets: int64 [n+1]. codes: int64 [nnz], rows of the table; each field's first row stands for "unknown".
    weights: float32 [nnz]; 1, or 1/length for the values of a bag. sizes: field -> how many rows of the table it owns,
    in the table's order.
    """

    offsets: Tensor
    codes: Tensor
    weights: Tensor
    sizes: dict[str, int]

    @property
    def size(self) -> int:
        """Rows of the table."""
        return sum(self.sizes.values())


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    bias = None if layer.bias is None else layer.bias.to(x.dtype)
    return F.linear(x, layer.weight.to(x.dtype), bias)


class Tower(nn.Module):
    """A sum of embeddings -> a unit vector, by a layer of `hidden` ReLUs beside an identity path.

    The sum is a concatenation followed by a linear layer, with that layer folded into each field's embeddings.
    """

    def __init__(self, fields: int, dim: int, hidden: int) -> None:
        super().__init__()
        self.fields = embedding_table(fields, dim, 0.02)
        self.inner = nn.Linear(dim, hidden, dtype=torch.float32)
        self.outer = nn.Linear(hidden, dim, dtype=torch.float32)

    def pool(self, features: Features, rows: Tensor) -> Tensor:
        """float32 [m, dim]: the weighted sum of the field embeddings of `rows` (int64 [m])."""
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
        return F.normalize(x + _linear(self.outer, torch.relu(_linear(self.inner, x))), dim=1)


class TwoTowerModel(nn.Module):
    """Both towers over `dim` dimensions. Row r of the users or items is row r + 1 of its id table; 0 is "unknown".

    user_fields, item_fields: rows of each tower's feature table. content: width of the items' content vectors, or 0.
    """

    def __init__(
        self, users: int, items: int, user_fields: int, item_fields: int, content: int, dim: int, hidden: int
    ) -> None:
        super().__init__()
        self.user = Tower(user_fields, dim, hidden)
        self.item = Tower(item_fields, dim, hidden)
        # Zeros: a user never seen in training is then what the features and the last items say, and no noise.
        self.user_id = embedding_table(users + 1, dim, 0.0)
        self.item_id = embedding_table(items + 1, dim, 0.05)
        self.recent = nn.Linear(dim, dim, bias=False, dtype=torch.float32)
        nn.init.eye_(self.recent.weight)
        self.content = nn.Linear(content, dim, bias=False, dtype=torch.float32) if content else None

    def user_vectors(
        self, users: Tensor, recent: Tensor, features: Features, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """`dtype` [m, dim]: unit vectors of `users` (int64 [m]), whose last items are `recent` (int64 [m, n], -1 pad).

        The linear layers compute in `dtype`: rounded from float64 to float32 the vectors do not depend on the batch.
        """
        mean = F.embedding_bag(recent + 1, self.item_id.weight, mode="mean", sparse=self.item_id.sparse, padding_idx=0)
        own = self.user_id(users + 1) + self.user.pool(features, users)
        return self.user(own.to(dtype) + _linear(self.recent, mean.to(dtype)))  # type: ignore[no-any-return]

    def item_vectors(self, items: Tensor, features: Features, content: Tensor | None) -> Tensor:
        """float32 [m, dim]: unit vectors of `items` (int64 [m]); `content`: float32 [N, c], of the whole catalogue."""
        x = self.item_id(items + 1) + self.item.pool(features, items)
        if self.content is not None and content is not None:
            x = x + self.content(content[items])
        return self.item(x)  # type: ignore[no-any-return]
