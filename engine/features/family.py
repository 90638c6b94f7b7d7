"""Families of features: each keeps something of a log, and makes columns of it that training and serving share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from headrace.data.dataset import Dataset
from headrace.features.columns import Column
from headrace.features.settings import FeatureSettings
from headrace.jagged import segment_of
from headrace.registry import Registry
from headrace.state import State
from headrace.types import Requests

Made = dict[str, Tensor]


@dataclass(frozen=True)
class Asked:
    """Requests, and the moment whose knowledge serves each.

    moment: int64 [B], ms. ended: whether all are at or after the end of the log, where nothing moves any more. clock:
    int64 [B], ms, the requests' own times up to the end of the log: what ages is as old as it was then, since models
    have seen nothing older.
    """

    requests: Requests
    moment: Tensor
    ended: bool
    clock: Tensor

    def __len__(self) -> int:
        return len(self.requests)

    def each(self, offsets: Tensor | None) -> Asked:
        """One request for each candidate, request b owning offsets[b]:offsets[b+1]; None: they are that already."""
        if offsets is None:
            return self
        owner = segment_of(offsets)
        moment, clock = (part.index_select(0, owner) for part in (self.moment, self.clock))
        return Asked(self.requests.take(owner), moment, self.ended, clock)


class Scale:
    """Standardises columns: mean 0 and deviation 1 over the log, cut off at 10 deviations."""

    def __init__(self, mean: Tensor, factor: Tensor) -> None:
        self.mean = mean
        self.factor = factor

    @classmethod
    def fit(cls, values: Tensor) -> Scale:
        """values: float32 [n, c]."""
        # A statistic that never varied in training says nothing: its scale makes it zero wherever it stays put.
        return cls(values.mean(0), 1 / values.std(0, correction=0).clamp_min(1e-3))

    @classmethod
    def none(cls, width: int) -> Scale:
        return cls(torch.zeros(width, dtype=torch.float32), torch.ones(width, dtype=torch.float32))

    def __call__(self, raw: Tensor) -> Tensor:
        """`raw` (float32 [n, c]), in place."""
        return raw.sub_(self.mean).mul_(self.factor).clamp_(-10, 10)

    def part(self, first: int, stop: int) -> Scale:
        """That of some of the columns."""
        return Scale(self.mean[first:stop], self.factor[first:stop])

    def state(self) -> State:
        return State.of(mean=self.mean, factor=self.factor)

    @classmethod
    def from_state(cls, state: State) -> Scale:
        mean = state.tensor("mean", torch.float32, None)
        return cls(mean, state.tensor("factor", torch.float32, len(mean)))


class Family:
    """One kind of features. A subclass has `fit`, `state` and `from_state`, and makes the columns that it lists.

    name: in the registry and in snapshots. moving: the columns on the item side that change with the log; they are an
    item's own only once the log has ended. standardised: dense columns that the store scales, see `Scale`. costly:
    whether training makes what depends on the moment once for all rows, rather than batch by batch.
    """

    name: ClassVar[str]
    moving: ClassVar[tuple[str, ...]] = ()
    standardised: ClassVar[tuple[str, ...]] = ()
    costly: ClassVar[bool] = False

    #: Every column this family makes.
    columns: tuple[Column, ...]

    @classmethod
    def fit(cls, dataset: Dataset, settings: FeatureSettings, earlier: Family | None = None) -> Family | None:
        """What the family keeps of `dataset`; None where there is nothing to make columns of.

        earlier: the same family of an earlier training, whose models learn on: what a column means must not change.
        """
        raise NotImplementedError

    def scale(self, scales: dict[str, Scale]) -> None:
        """Takes the scales of the standardised columns; before, they are made raw."""

    def request(self, asked: Asked) -> Made:
        """The columns on the request side, a row for each of the B requests."""
        return {}

    def item(self, item: Tensor) -> Made:
        """The columns on the item side that do not move, of `item` (int64 [n] rows)."""
        return {}

    def moved(self, item: Tensor, asked: Asked | None) -> Made:
        """The moving columns of `item`: each at the moment of its own request (n of them); None: as the log ends."""
        return {}

    def pair(self, asked: Asked, made: Made, offsets: Tensor | None, item: Tensor) -> Made:
        """The columns of pairs, of candidates `item` (int64 [n]); request b owns offsets[b]:offsets[b+1], None: one
        each. made: the request side of the same requests, of all families."""
        return {}

    def state(self) -> State:
        raise NotImplementedError

    @classmethod
    def from_state(cls, state: State) -> Family:
        raise NotImplementedError


#: The families by name. Those outside the tree are entry points of the group "headrace.features".
FAMILIES: Registry[type[Family]] = Registry("feature", "headrace.features.families")

F = TypeVar("F", bound=type[Family])


def family(cls: F) -> F:
    """Registers a family."""
    FAMILIES.add(cls.name, cls)
    return cls


def rows_of(table: Tensor, row: Tensor, columns: tuple[Column, ...]) -> Made:
    """The rows `row` (int64 [n]) of a table of codes, int32 [m, columns], by column."""
    codes = table.index_select(0, row)
    return {column.name: codes[:, place] for place, column in enumerate(columns)}


def sizes_and_codes(state: State, rows: int | None, first: int) -> tuple[dict[str, int], Tensor]:
    """The sizes of some fields, and int32 [rows, 1 + fields] codes below them, after a column that counts from `first`.

    Raises ValueError where they do not fit.
    """
    sizes: dict[str, int] = state.fact("sizes", dict[str, Annotated[int, Field(ge=1, lt=1 << 31)]])
    codes = state.tensor("codes", torch.int32, rows, 1 + len(sizes), least=0)
    count = torch.arange(first, first + len(codes), dtype=torch.int32)
    if not torch.equal(codes[:, 0], count) or bool((codes[:, 1:] >= torch.tensor(list(sizes.values()))).any()):
        raise ValueError(f"codes: expected rows in order, then codes below {list(sizes.values())}, got others")
    return sizes, codes
