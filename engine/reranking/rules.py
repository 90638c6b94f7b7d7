"""Page rules: how many items of one kind may stand in a row, near each other, or at the top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from headrace.data.dataset import Catalogue
from headrace.kernels.dpp import Rules


class _Rule(BaseModel):
    """kind: the column of kinds that the rule looks at, e.g. author, category or marked."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: str


class MaxRun(_Rule):
    """At most `k` items of the same kind in a row."""

    rule: Literal["max_run"] = "max_run"
    k: int = Field(ge=1)

    def limit(self) -> tuple[int, int, int]:
        return (self.k + 1, self.k, 0)


class OneInWindow(_Rule):
    """At most `most` items (1) of the same kind in every `window` positions."""

    rule: Literal["one_in_window"] = "one_in_window"
    window: int = Field(ge=2)
    most: int = Field(default=1, ge=1)

    def limit(self) -> tuple[int, int, int]:
        return (self.window, self.most, 0)


class MaxInPrefix(_Rule):
    """At most `most` items of the same kind in the `first` positions of the page."""

    rule: Literal["max_in_prefix"] = "max_in_prefix"
    first: int = Field(ge=1)
    most: int = Field(ge=0)

    def limit(self) -> tuple[int, int, int]:
        return (self.first, self.most, 1)


#: One rule, as settings files write it: `{rule = "max_run", kind = "category", k = 5}`.
Rule = Annotated[MaxRun | OneInWindow | MaxInPrefix, Field(discriminator="rule")]


def catalogue_kinds(catalogue: Catalogue) -> dict[str, Tensor]:
    """The columns of kinds that a catalogue has, int32 [N] each, -1 where a rule should not touch the item.

    author; category, the first one; marked, 0 for items that operations promote.
    """
    unknown = np.full(len(catalogue), -1, np.int32)
    author = unknown if catalogue.author is None else catalogue.author.astype(np.int32)
    marked = unknown if catalogue.marked is None else np.where(catalogue.marked, 0, -1).astype(np.int32)
    return {
        "author": torch.from_numpy(author),
        "category": torch.from_numpy(catalogue.first_category()),
        "marked": torch.from_numpy(marked),
    }


def check_rules(rules: Sequence[Rule], kinds: Mapping[str, Tensor]) -> None:
    """Raises ValueError when a rule names a column of kinds that there is not."""
    for rule in rules:
        if rule.kind not in kinds:
            raise ValueError(f"rules: {rule.rule}: kind: expected one of {', '.join(sorted(kinds))}, got {rule.kind!r}")


def compile_rules(rules: Sequence[Rule], kinds: Mapping[str, Tensor], item: Tensor) -> Rules | None:
    """The kernel's form of `rules`, in order of priority, for candidates `item` (int64 [nnz]); None without rules.

    Raises ValueError when a rule names a column of kinds that there is not.
    """
    if not rules:
        return None
    check_rules(rules, kinds)
    rows = {name: kinds[name].index_select(0, item) for name in {rule.kind for rule in rules}}
    return Rules(
        torch.stack([rows[rule.kind] for rule in rules]),
        torch.tensor([rule.limit() for rule in rules], dtype=torch.int64),
    )
