"""LastN: lists of the items a user engaged with most recently before a moment, one list a kind of engagement."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from headrace.data.dataset import Dataset, InteractionLog
from headrace.data.signals import CLICK
from headrace.features.arrays import tensor_of
from headrace.features.columns import Column
from headrace.features.family import Asked, Family, Made, family
from headrace.features.settings import ENGAGED, MOST_BEHAVIOURS, FeatureSettings
from headrace.features.windows import WindowCounter
from headrace.state import State


def listed(log: InteractionLog, kind: str) -> NDArray[np.bool_]:
    """bool [n]: the rows that go into a list: of a signal those that gave it; of ENGAGED the clicks, or any interest
    where clicks are not logged."""
    if kind != ENGAGED:
        return log.signals[kind] == 1 if kind in log.signals else np.zeros(len(log), np.bool_)
    return log.signals[CLICK] == 1 if log.gave(CLICK) else log.interest() > 0


def column_of(kind: str) -> str:
    """The column that has the list of a kind."""
    return f"last_{kind}"


@family
class Behaviours(Family):
    """kinds: the list of each kind. n: the most entries that a column gives. items: of the catalogue."""

    name = "behaviours"

    def __init__(self, kinds: dict[str, LastN], n: int) -> None:
        self.kinds = kinds
        self.columns = tuple(Column(column_of(kind), "request", "sequence", n, of="item") for kind in kinds)

    @classmethod
    def fit(cls, dataset: Dataset, settings: FeatureSettings, earlier: Family | None = None) -> Behaviours:
        return cls({kind: LastN.fit(dataset, kind) for kind in settings.lists}, settings.behaviours)

    def request(self, asked: Asked) -> Made:
        return {
            column.name: last.final(asked.requests.user, column.size)
            if asked.ended
            else last.before(asked.requests.user, asked.moment, column.size)
            for column, last in zip(self.columns, self.kinds.values(), strict=True)
        }

    def state(self) -> State:
        lists = {kind: last.state() for kind, last in self.kinds.items()}
        return State.of(kinds=list(self.kinds), n=self.columns[0].size if self.columns else 1, lists=State.of(**lists))

    @classmethod
    def from_state(cls, state: State) -> Behaviours:
        lists = state.under("lists")
        kinds = {kind: LastN.from_state(lists.under(kind)) for kind in state.fact("kinds", list[str])}
        return cls(kinds, state.fact("n", Annotated[int, Field(ge=1, le=MOST_BEHAVIOURS)]))


class LastN:
    """Each user's items of one kind in time order.

    items: int32 [m], item rows by (user, time). Older interactions known only in order come first in each sequence.
    """

    def __init__(self, counter: WindowCounter, items: Tensor) -> None:
        self._counter = counter
        self._items = items
        self._final: Tensor | None = None

    @classmethod
    def fit(cls, dataset: Dataset, kind: str) -> LastN:
        log = dataset.log
        rows = listed(log, kind)
        user, item, time = log.user[rows], log.item[rows], log.time[rows]
        if dataset.history is not None and len(dataset.history):
            old = dataset.history.take(listed(dataset.history, kind))
            before = int(log.time[0]) - 1 if len(log) else 0
            user, item = np.concatenate([old.user, user]), np.concatenate([old.item, item])
            time = np.concatenate([np.minimum(old.time, before), time])
        order = np.lexsort((np.arange(len(user)), time, user))
        counter = WindowCounter.build(
            tensor_of(user.astype(np.int64)),
            tensor_of(time),
            torch.ones(len(user), 1, dtype=torch.int32),
            f"list of {kind}: user",
        )
        return cls(counter, tensor_of(item[order].astype(np.int32)))

    def before(self, user: Tensor, time: Tensor, n: int) -> Tensor:
        """int32 [q, n]: item rows + 1 of the last n before `time`, newest first, padded with 0."""
        if len(self._items) == 0:
            return torch.zeros(len(user), n, dtype=torch.int32)
        end, count = self._counter.before(user, time)
        back = torch.arange(1, n + 1)
        place = (end[:, None] - back).clamp_min(0)
        return torch.where(back <= count[:, None], self._items[place] + 1, 0)

    def final(self, user: Tensor, n: int) -> Tensor:
        """`before`, after all that happened, int32 [q, n], from a table of all users that is made once."""
        table = self._final
        if table is None or table.shape[1] != n:
            every = torch.arange(-1, self._counter.entities)
            end = self._counter.origin + self._counter.span
            table = self._final = self.before(every, torch.full_like(every, end), n)
        return table.index_select(0, torch.where(user < len(table) - 1, user + 1, 0))

    def state(self) -> State:
        return State.of(items=self._items, counter=self._counter.state())

    @classmethod
    def from_state(cls, state: State) -> LastN:
        counter = WindowCounter.from_state(state.under("counter"))
        if counter.entities > state.rows.get("users", counter.entities):
            raise ValueError(f"counter/entities: expected at most {state.rows['users']}, got {counter.entities}")
        return cls(counter, state.tensor("items", torch.int32, len(counter.keys), least=0, below="items"))
