"""LastN: the items a user engaged with most recently before a moment."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.data.dataset import Dataset, InteractionLog
from headrace.features.arrays import tensor_of
from headrace.features.windows import WindowCounter


def engaged(log: InteractionLog) -> NDArray[np.bool_]:
    """bool [n]: the rows that go into a behaviour sequence: the clicks, or any interest where clicks are not logged."""
    return log.signals["click"] == 1 if "click" in log.signals else log.interest() > 0


class Behaviours:
    """Each user's engaged items in time order.

    items: int32 [m], item rows by (user, time). Older interactions known only in order come first in each sequence.
    """

    def __init__(self, counter: WindowCounter, items: Tensor) -> None:
        self._counter = counter
        self._items = items
        self._final: Tensor | None = None

    @classmethod
    def fit(cls, dataset: Dataset) -> Behaviours:
        log = dataset.log
        rows = engaged(log)
        user, item, time = log.user[rows], log.item[rows], log.time[rows]
        if dataset.history is not None and len(dataset.history):
            old = dataset.history.take(engaged(dataset.history))
            before = int(log.time[0]) - 1 if len(log) else 0
            user, item = np.concatenate([old.user, user]), np.concatenate([old.item, item])
            time = np.concatenate([np.minimum(old.time, before), time])
        order = np.lexsort((np.arange(len(user)), time, user))
        counter = WindowCounter.build(
            tensor_of(user.astype(np.int64)),
            tensor_of(time),
            torch.ones(len(user), 1, dtype=torch.int32),
        )
        return cls(counter, tensor_of(item[order].astype(np.int32)))

    def last(self, user: Tensor, time: Tensor, n: int) -> Tensor:
        """int32 [q, n]: item rows + 1 of the last n before `time`, newest first, padded with 0."""
        if len(self._items) == 0:
            return torch.zeros(len(user), n, dtype=torch.int32)
        end, count = self._counter.before(user, time)
        back = torch.arange(1, n + 1)
        place = (end[:, None] - back).clamp_min(0)
        return torch.where(back <= count[:, None], self._items[place] + 1, 0)

    def final(self, user: Tensor, n: int) -> Tensor:
        """`last` after all that happened, int32 [q, n], from a table of all users that is made once."""
        table = self._final
        if table is None or table.shape[1] != n:
            every = torch.arange(-1, self._counter.entities)
            end = self._counter.origin + self._counter.span
            table = self._final = self.last(every, torch.full_like(every, end), n)
        return table.index_select(0, torch.where(user < len(table) - 1, user + 1, 0))

    def state(self) -> dict[str, Tensor]:
        return {"items": self._items, **{f"counter.{k}": v for k, v in self._counter.state().items()}}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Behaviours:
        counter = {k.removeprefix("counter."): v for k, v in state.items() if k.startswith("counter.")}
        return cls(WindowCounter.from_state(counter), state["items"])
