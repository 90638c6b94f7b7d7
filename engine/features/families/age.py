"""How long ago an item was published."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.data.dataset import Dataset
from headrace.features.arrays import tensor_of
from headrace.features.codes import AGE_BUCKETS, age_bucket
from headrace.features.columns import Column
from headrace.features.family import Asked, Family, Made, family
from headrace.features.settings import FeatureSettings
from headrace.state import State


@family
class Age(Family):
    """publish_time: int64 [items] ms, -1 unknown."""

    name = "age"
    columns = (Column("age", "pair", "code", AGE_BUCKETS),)

    def __init__(self, publish_time: Tensor) -> None:
        self.publish_time = publish_time

    @classmethod
    def fit(cls, dataset: Dataset, settings: FeatureSettings, earlier: Family | None = None) -> Age:
        published = dataset.catalogue.publish_time
        return cls(torch.full((len(dataset.catalogue),), -1) if published is None else tensor_of(published))

    def pair(self, asked: Asked, made: Made, offsets: Tensor | None, item: Tensor) -> Made:
        time = asked.clock
        if offsets is not None:
            time = time.repeat_interleave(offsets.diff())
        return {"age": age_bucket(self.publish_time.index_select(0, item), time)}

    def state(self) -> State:
        return State.of(publish_time=self.publish_time)

    @classmethod
    def from_state(cls, state: State) -> Age:
        return cls(state.tensor("publish_time", torch.int64, "items"))
