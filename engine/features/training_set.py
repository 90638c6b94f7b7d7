"""A training log in columns: what is costly once for all rows, the rest batch by batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from headrace.data.dataset import InteractionLog
from headrace.features.arrays import tensor_of
from headrace.features.store import FeatureStore, requests_of
from headrace.types import Requests


class TrainingSet:
    """The rows of `log` as requests with one candidate each, with the columns that `store` would have served.

    rows: positions in the log that are used (int64 [m]); default all.
    """

    def __init__(self, store: FeatureStore, log: InteractionLog, rows: NDArray[np.int64] | None = None) -> None:
        part = log if rows is None else log.take(rows)
        self._fill(store, requests_of(part), tensor_of(part.item).long())

    def _fill(self, store: FeatureStore, requests: Requests, item: Tensor) -> None:
        self._store, self.requests, self.item = store, requests, item
        self._costly = store.costly_columns(requests, item)

    def with_items(self, rows: Tensor, item: Tensor) -> TrainingSet:
        """The requests of some rows (int64 [m]) with other items (int64 [m])."""
        new = TrainingSet.__new__(TrainingSet)
        new._fill(self._store, self.requests.take(rows), item)
        return new

    def __len__(self) -> int:
        return len(self.item)

    def columns(self, index: Tensor) -> dict[str, Tensor]:
        """Every column of the rows at `index` (int64 [b])."""
        cheap = self._store.cheap_columns(self.requests.take(index), self.item.index_select(0, index))
        return {**cheap, **{name: column.index_select(0, index) for name, column in self._costly.items()}}
