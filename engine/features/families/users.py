"""The user, and what is known of the user, as codes."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.data.dataset import Dataset
from headrace.features.codes import shifted, size_of
from headrace.features.columns import Column
from headrace.features.family import Asked, Family, Made, family, rows_of, sizes_and_codes
from headrace.features.settings import FeatureSettings
from headrace.state import State


@family
class UserCodes(Family):
    """sizes: feature -> its codes. codes: int32 [users + 1, 1 + features], the first the row + 1; row 0 is the unknown
    user."""

    name = "users"

    def __init__(self, sizes: dict[str, int], codes: Tensor) -> None:
        self.sizes = sizes
        self.codes = codes
        self.columns = (
            Column("user", "request", "code", len(codes)),
            *(Column(f"user_{feature}", "request", "code", size) for feature, size in sizes.items()),
        )

    @classmethod
    def fit(cls, dataset: Dataset, settings: FeatureSettings, earlier: Family | None = None) -> UserCodes:
        users = dataset.users
        sizes = {name: size_of(codes) for name, codes in users.features.items()}
        codes = torch.zeros(len(users) + 1, 1 + len(sizes), dtype=torch.int32)
        codes[:, 0] = torch.arange(len(users) + 1)
        for place, (name, size) in enumerate(sizes.items()):
            codes[1:, 1 + place] = shifted(users.features[name], size)
        return cls(sizes, codes)

    def request(self, asked: Asked) -> Made:
        return rows_of(self.codes, asked.requests.user + 1, self.columns)

    def state(self) -> State:
        return State.of(sizes=self.sizes, codes=self.codes)

    @classmethod
    def from_state(cls, state: State) -> UserCodes:
        users = state.rows.get("users")
        sizes, codes = sizes_and_codes(state, None if users is None else users + 1, first=0)
        return cls(sizes, codes)
