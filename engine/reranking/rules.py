"""Page rules: how many items of one kind may stand in a row, near each other, at the top, or on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from headrace.data.dataset import Catalogue
from headrace.kernels.diversity import Rules
from headrace.kernels.diversity.rules import MAX_RULES
from headrace.section import Section

#: A span that no page is as long as.
_WHOLE_PAGE = 1 << 31


class _Rule(Section):
    rule: str = Field(description="which rule it is")
    kind: str = Field(
        description="the column of kinds that it looks at: author, category, cluster, marked, or one of the log's own"
    )

    @property
    def words(self) -> str:
        """The rule in a few words, e.g. `max_run category k=5`."""
        numbers = (f"{name}={value}" for name, value in self if name not in ("rule", "kind"))
        return " ".join((self.rule, self.kind, *numbers))


class MaxRun(_Rule):
    """At most `k` items of the same kind in a row."""

    rule: Literal["max_run"] = Field(default="max_run", description="which rule it is")
    k: int = Field(ge=1, description="most items of a kind in a row")

    def limit(self) -> tuple[int, int, int]:
        return (self.k + 1, self.k, 0)


class Scatter(_Rule):
    """None of the next `gap` items is of the same kind as an item."""

    rule: Literal["scatter"] = Field(default="scatter", description="which rule it is")
    gap: int = Field(ge=1, description="items after one that are of other kinds")

    def limit(self) -> tuple[int, int, int]:
        return (self.gap + 1, 1, 0)


class OneInWindow(_Rule):
    """At most `most` items (1) of the same kind in every `window` positions."""

    rule: Literal["one_in_window"] = Field(default="one_in_window", description="which rule it is")
    window: int = Field(ge=2, description="positions in a row")
    most: int = Field(default=1, ge=1, description="most items of a kind among them")

    @model_validator(mode="after")
    def _can_act(self) -> OneInWindow:
        if self.most >= self.window:
            raise ValueError(f"most: expected less than window ({self.window}), got {self.most}")
        return self

    def limit(self) -> tuple[int, int, int]:
        return (self.window, self.most, 0)


class MaxInPrefix(_Rule):
    """At most `most` items of the same kind in the `first` positions of the page."""

    rule: Literal["max_in_prefix"] = Field(default="max_in_prefix", description="which rule it is")
    first: int = Field(ge=1, description="positions at the top")
    most: int = Field(ge=0, description="most items of a kind among them")

    @model_validator(mode="after")
    def _can_act(self) -> MaxInPrefix:
        if self.most >= self.first:
            raise ValueError(f"most: expected less than first ({self.first}), got {self.most}")
        return self

    def limit(self) -> tuple[int, int, int]:
        return (self.first, self.most, 1)


class MaxOnPage(_Rule):
    """At most `most` items of the same kind on the page."""

    rule: Literal["max_on_page"] = Field(default="max_on_page", description="which rule it is")
    most: int = Field(ge=1, description="most items of a kind on the page")

    def limit(self) -> tuple[int, int, int]:
        return (_WHOLE_PAGE, self.most, 0)


#: One rule, as settings files write it: `{rule = "max_run", kind = "category", k = 5}`.
Rule = Annotated[MaxRun | Scatter | OneInWindow | MaxInPrefix | MaxOnPage, Field(discriminator="rule")]


def name_of(rules: Sequence[Rule], r: int) -> str:
    """How errors, reasons and counters call rule `r`: its place and its words."""
    return f"rules[{r}] {rules[r].words}"


def check_order(rules: Sequence[Rule]) -> None:
    """Raises ValueError naming the rule when there are too many, or one can never act.

    Two rules of one name and kind say different things about the same. When the one before forbids all that the other
    does, the other has nothing to say: that one is kept longer. The other order has its use, a strict rule that gives
    way to a looser one.
    """
    if len(rules) > MAX_RULES:
        raise ValueError(f"rules: expected at most {MAX_RULES}, got {len(rules)}")
    for r, rule in enumerate(rules):
        for q, other in enumerate(rules[:r]):
            if (other.rule, other.kind) == (rule.rule, rule.kind) and _implies(other.limit(), rule.limit()):
                raise ValueError(
                    f"{name_of(rules, r)}: can never act, since {name_of(rules, q)} forbids as much and is dropped "
                    "later; put the stricter rule last or remove one"
                )


def _implies(a: tuple[int, int, int], b: tuple[int, int, int]) -> bool:
    """Whether all pages within limit `a` are within `b`: how many of a kind can `a` leave in the span of `b`?"""
    (span, most, prefix), (wide, allowed, of_prefix) = a, b
    if prefix:
        return bool(of_prefix) and min(most, wide) + max(wide - span, 0) <= allowed
    return wide // span * most + min(wide % span, most) <= allowed


def catalogue_kinds(catalogue: Catalogue) -> dict[str, Tensor]:
    """The columns of kinds that a catalogue has, int32 [N] each, -1 where a rule should not touch the item.

    author; category, the first one; marked, 0 for items that operations promote; and the catalogue's own kinds. Raises
    ValueError for one of these that has the name of another.
    """
    if taken := catalogue.kinds.keys() & {"author", "category", "marked", "cluster"}:
        raise ValueError(f"catalogue.kinds: expected other names than those of every catalogue, got {min(taken)!r}")
    unknown = np.full(len(catalogue), -1, np.int32)
    author = unknown if catalogue.author is None else catalogue.author.astype(np.int32)
    marked = unknown if catalogue.marked is None else np.where(catalogue.marked, 0, -1).astype(np.int32)
    return {
        "author": torch.from_numpy(author),
        "category": torch.from_numpy(catalogue.first_category()),
        "marked": torch.from_numpy(marked),
        **{name: torch.tensor(codes, dtype=torch.int32) for name, codes in catalogue.kinds.items()},
    }


def check_kinds(rules: Sequence[Rule], kinds: Mapping[str, Tensor]) -> None:
    """Raises ValueError when a rule names a column of kinds that there is not."""
    for r, rule in enumerate(rules):
        if rule.kind not in kinds:
            expected = ", ".join(sorted(kinds))
            raise ValueError(f"{name_of(rules, r)}: kind: expected one of {expected}, got {rule.kind!r}")


def compile_rules(rules: Sequence[Rule], kinds: Mapping[str, Tensor], item: Tensor) -> Rules | None:
    """The kernel's form of `rules`, in order of priority, for candidates `item` (int64 [nnz]); None without rules."""
    if not rules:
        return None
    rows = {name: kinds[name].index_select(0, item) for name in {rule.kind for rule in rules}}
    return Rules(
        torch.stack([rows[rule.kind] for rule in rules]),
        torch.tensor([rule.limit() for rule in rules], dtype=torch.int64),
    )


def broken(rules: Sequence[Rule], kinds: Mapping[str, Tensor], pages: Tensor) -> Tensor:
    """bool [R, B, k]: the places of `pages` (int64 [B, k] rows of the catalogue, -1 empty) that break each rule.

    A place breaks a rule when the items before it leave no room for its kind. O(R B k log B k).
    """
    place = torch.arange(pages.shape[1])
    out = torch.zeros((len(rules), *pages.shape), dtype=torch.bool)
    for r, rule in enumerate(rules):
        span, most, prefix = rule.limit()
        kind = torch.where(pages >= 0, kinds[rule.kind][pages.clamp_min(0)], -1)
        out[r] = (kind >= 0) & (_alike_before(kind, span) >= most) & ((place < span) | (prefix == 0))
    return out


def _alike_before(kind: Tensor, span: int) -> Tensor:
    """int64 [B, k]: how many of the span - 1 places before each have its kind (int [B, k])."""
    batch, k = kind.shape
    if not kind.numel():
        return torch.zeros((batch, k), dtype=torch.int64)
    kinds, code = kind.unique(return_inverse=True)
    group = (torch.arange(batch)[:, None] * len(kinds) + code).flatten()
    place = torch.arange(k).repeat(batch)
    # Places in order within each kind of a page: what lies between a place and the first in its span is alike.
    at, order = (group * k + place).sort()
    first = torch.searchsorted(at, group[order] * k + (place[order] - span + 1).clamp_min(0))
    return torch.empty_like(at).scatter_(0, order, torch.arange(len(at)) - first).view(batch, k)
