"""Static features of users and items, one row each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headrace.data.dataset import Catalogue, InteractionLog, Users
from headrace.features.arrays import tensor_of
from headrace.features.fields import DURATION_BUCKETS, Field, duration_bucket, shifted
from headrace.features.inputs import ItemInputs
from headrace.features.taste import compressed


@dataclass(frozen=True)
class Keys:
    """The entities of q queries, each int64 [q], -1 unknown. context: name -> int64 [q]."""

    user: Tensor
    item: Tensor
    author: Tensor
    category: Tensor
    context: dict[str, Tensor]


class UserTable:
    """codes: int32 [users + 1, 1 + features]; row 0 is the unknown user."""

    def __init__(self, codes: Tensor, fields: tuple[Field, ...] = ()) -> None:
        self._codes = codes
        self.fields = fields

    @classmethod
    def fit(cls, users: Users) -> UserTable:
        fields = tuple(Field(name, int(codes.max(initial=-1)) + 2) for name, codes in users.features.items())
        codes = torch.zeros(len(users) + 1, 1 + len(fields), dtype=torch.int32)
        codes[:, 0] = torch.arange(len(users) + 1)
        for column, field in enumerate(fields):
            codes[1:, 1 + column] = shifted(users.features[field.name], field.size)
        return cls(codes, fields)

    def __len__(self) -> int:
        """Users, the unknown one not counted."""
        return len(self._codes) - 1

    def codes(self, user: Tensor) -> Tensor:
        """int32 [q, 1 + features] of `user` (int64 [q] rows, -1 unknown)."""
        return self._codes.index_select(0, user + 1)

    def state(self) -> dict[str, Tensor]:
        return {"codes": self._codes}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> UserTable:
        return cls(state["codes"])


class ItemTable:
    """The catalogue as a model sees it.

    codes: int32 [items, fields], the first the row + 1. raw: int64 [items, 2], author and first category, -1 unknown.
    publish_time: int64 [items] ms, -1 unknown. content: float32 [items, d] unit vectors, or None.
    """

    def __init__(
        self, fields: tuple[Field, ...], codes: Tensor, raw: Tensor, publish_time: Tensor, content: Tensor | None
    ) -> None:
        self.fields = fields
        self._codes = codes
        self.author, self.category = raw[:, 0].contiguous(), raw[:, 1].contiguous()
        self._raw = raw
        self.publish_time = publish_time
        self.content = content

    def __len__(self) -> int:
        return len(self._codes)

    @classmethod
    def fit(cls, catalogue: Catalogue, content_dim: int) -> ItemTable:
        n = len(catalogue)
        missing = np.full(n, -1, np.int32)
        author = missing if catalogue.author is None else catalogue.author
        category = catalogue.first_category()
        city = missing if catalogue.city is None else catalogue.city
        named = {"author": author, "category": category, "city": city}
        known = {name: codes for name, codes in named.items() if codes.max(initial=-1) >= 0}
        fields = [Field("item", n + 1), *(Field(name, int(codes.max()) + 2) for name, codes in known.items())]
        columns = [torch.arange(1, n + 1, dtype=torch.int32)]
        columns += [shifted(known[field.name], field.size) for field in fields[1:]]
        if catalogue.duration_ms is not None:
            fields.append(Field("duration", DURATION_BUCKETS))
            columns.append(duration_bucket(tensor_of(catalogue.duration_ms)))
        published = np.full(n, -1, np.int64) if catalogue.publish_time is None else catalogue.publish_time
        content = None if catalogue.vector is None else compressed(tensor_of(catalogue.vector), content_dim)
        raw = tensor_of(np.stack([author, category], 1).astype(np.int64))
        return cls(tuple(fields), torch.stack(columns, 1), raw, tensor_of(published), content)

    def inputs(self, item: Tensor) -> ItemInputs:
        """The static features of `item` (int64 [q] rows)."""
        return ItemInputs(
            self._codes.index_select(0, item), None if self.content is None else self.content.index_select(0, item)
        )

    def duration_bucket(self, item: Tensor) -> Tensor:
        """int32 [q]: the duration bucket of `item` (int64 [q] rows), 0 where unknown."""
        names = [field.name for field in self.fields]
        if "duration" not in names:
            return torch.zeros(len(item), dtype=torch.int32)
        return self._codes[:, names.index("duration")].index_select(0, item)

    def keys(self, user: Tensor, item: Tensor, context: dict[str, Tensor]) -> Keys:
        """The entities that statistics are kept of, for `user` and `item` (int64 [q] rows)."""
        return Keys(user, item, self.author.index_select(0, item), self.category.index_select(0, item), context)

    def log_keys(self, log: InteractionLog) -> Keys:
        """`keys` of every row of `log`."""
        context = {name: tensor_of(codes).long() for name, codes in log.context.items()}
        return self.keys(tensor_of(log.user).long(), tensor_of(log.item).long(), context)

    def state(self) -> dict[str, Tensor]:
        content = {} if self.content is None else {"content": self.content}
        return {"codes": self._codes, "raw": self._raw, "publish_time": self.publish_time, **content}

    @classmethod
    def from_state(cls, state: dict[str, Tensor], fields: tuple[Field, ...]) -> ItemTable:
        return cls(fields, state["codes"], state["raw"], state["publish_time"], state.get("content"))
