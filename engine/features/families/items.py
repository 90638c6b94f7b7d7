"""The item, and what the catalogue says of it, as codes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from headrace.data.dataset import Catalogue, Dataset
from headrace.features.arrays import tensor_of
from headrace.features.bags import Bags
from headrace.features.codes import DURATION_BUCKETS, duration_bucket, shifted, size_of
from headrace.features.columns import Column
from headrace.features.family import Family, Made, family, rows_of, sizes_and_codes
from headrace.features.settings import FeatureSettings
from headrace.state import State


@family
class ItemCodes(Family):
    """sizes: field -> its codes, those the catalogue knows. codes: int32 [items, 1 + fields], the first the row + 1.

    categories: all of each item's, where `category` is the first; None where the catalogue has none.
    """

    name = "items"

    def __init__(self, sizes: dict[str, int], codes: Tensor, categories: Bags | None) -> None:
        self.sizes = sizes
        self.codes = codes
        self.categories = categories
        self.columns = (
            Column("item", "item", "code", len(codes) + 1),
            *(Column(field, "item", "code", size) for field, size in sizes.items()),
        )

    @classmethod
    def fit(cls, dataset: Dataset, settings: FeatureSettings, earlier: Family | None = None) -> ItemCodes:
        catalogue = dataset.catalogue
        every = torch.arange(1, len(catalogue) + 1, dtype=torch.int32)
        raw = {"author": catalogue.author, "category": catalogue.first_category(), "city": catalogue.city}
        known = {name: codes for name, codes in raw.items() if codes is not None and codes.max(initial=-1) >= 0}
        sizes = {name: size_of(codes) for name, codes in known.items()}
        codes = [shifted(codes, sizes[name]) for name, codes in known.items()]
        if catalogue.duration_ms is not None:
            sizes["duration"] = DURATION_BUCKETS
            codes.append(duration_bucket(tensor_of(catalogue.duration_ms)))
        return cls(sizes, torch.stack([every, *codes], 1), _categories(catalogue))

    def item(self, item: Tensor) -> Made:
        return rows_of(self.codes, item, self.columns)

    def state(self) -> State:
        bags = {} if self.categories is None else {"categories": self.categories.state()}
        return State.of(sizes=self.sizes, codes=self.codes, **bags)

    @classmethod
    def from_state(cls, state: State) -> ItemCodes:
        bags = state.under("categories")
        sizes, codes = sizes_and_codes(state, state.rows.get("items"), first=1)
        return cls(sizes, codes, Bags.from_state(bags) if bags.tensors else None)


def _categories(catalogue: Catalogue) -> Bags | None:
    bag = catalogue.category
    if bag is None or not len(bag.values):
        return None
    size = int(bag.values.max()) + 2
    return Bags(tensor_of(bag.offsets.astype(np.int64)), shifted(bag.values, size), size)
