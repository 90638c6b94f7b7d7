"""What the catalogue says of its items that decides whether they may be shown, whoever asks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headrace.channels.shared.popularity import popularity
from headrace.channels.shared.publishing import publish_times
from headrace.channels.shared.rounding import rounded
from headrace.data import Dataset
from headrace.state import State

#: A click counts half after so many days in the order of last resort.
_HALF_LIFE_DAYS = 7.0


@dataclass(frozen=True, eq=False)
class Stock:
    """The catalogue's items, N of them.

    order: int64 [N], the order of last resort: by decayed clicks, those without any newest first, ties to the lower.
    """

    order: Tensor

    @classmethod
    def of(cls, dataset: Dataset) -> Stock:
        catalogue, log = dataset.catalogue, dataset.log
        clicks = rounded(popularity([log], len(catalogue), _HALF_LIFE_DAYS))
        return cls(torch.from_numpy(np.lexsort((-publish_times(catalogue, [log]), -clicks))))

    @classmethod
    def bare(cls, items: int) -> Stock:
        """Of a catalogue of which nothing is known."""
        return cls(torch.arange(items))

    def __len__(self) -> int:
        return len(self.order)

    def state(self) -> State:
        return State.of(order=self.order)

    @classmethod
    def from_state(cls, state: State) -> Stock:
        return cls(state["order"])
