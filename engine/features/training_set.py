"""A training log in model inputs: statistics once for all rows, the rest batch by batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from headrace.data.dataset import InteractionLog
from headrace.features.arrays import tensor_of
from headrace.features.inputs import CrossInputs, Inputs, RequestInputs
from headrace.features.store import FeatureStore
from headrace.types import Requests


class TrainingSet:
    """The rows of `log` as one request with one candidate each, with the features that `store` would have served.

    rows: positions in the log that are used (int64 [m]); default all.
    """

    def __init__(self, store: FeatureStore, log: InteractionLog, rows: NDArray[np.int64] | None = None) -> None:
        part = log if rows is None else log.take(rows)
        context = {name: tensor_of(codes).long() for name, codes in part.context.items()}
        self._store = store
        self.requests = Requests(tensor_of(part.user).long(), tensor_of(part.time), context)
        self.item = tensor_of(part.item).long()
        self._request_statistics = store.request_statistics(self.requests)
        self._cross_statistics = store.cross_statistics(self.requests, None, self.item)

    def __len__(self) -> int:
        return len(self.item)

    def inputs(self, index: Tensor) -> Inputs:
        """The inputs of the rows at `index` (int64 [b])."""
        context = {name: codes[index] for name, codes in self.requests.context.items()}
        requests = Requests(self.requests.user[index], self.requests.time[index], context)
        store, item = self._store, self.item[index]
        return Inputs(
            RequestInputs(
                store.request_codes(requests),
                store.behaviour(requests),
                self._request_statistics.index_select(0, index),
            ),
            store.item_inputs(item),
            CrossInputs(store.cross_codes(requests.time, item), self._cross_statistics.index_select(0, index)),
        )
