"""A training log in columns: what is costly once for all rows, the rest batch by batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from headrace.data.dataset import InteractionLog
from headrace.features.arrays import tensor_of
from headrace.features.store import FeatureStore, requests_of


class TrainingSet:
    """The rows of `log` as requests with one candidate each, with the columns that `store` would have served.

    rows: positions in the log that are used (int64 [m]); default all.
    """

    def __init__(self, store: FeatureStore, log: InteractionLog, rows: NDArray[np.int64] | None = None) -> None:
        part = log if rows is None else log.take(rows)
        self._store = store
        self.requests = requests_of(part)
        self.item = tensor_of(part.item).long()
        self._costly = store.costly_columns(self.requests, self.item)

    def __len__(self) -> int:
        return len(self.item)

    def columns(self, index: Tensor) -> dict[str, Tensor]:
        """Every column of the rows at `index` (int64 [b])."""
        cheap = self._store.cheap_columns(self.requests.take(index), self.item.index_select(0, index))
        return {**cheap, **{name: column.index_select(0, index) for name, column in self._costly.items()}}
