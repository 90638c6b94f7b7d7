"""The features of a snapshot that serves: at the end of its log nothing moves any more, so most is a look-up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from headrace.jagged import segment_of
from headrace.types import Requests

if TYPE_CHECKING:
    from headrace.features.store import FeatureStore


class Frozen:
    """The cross statistics of a feature store as they are for every request at or after the end of its log.

    Together they are the columns of `CrossInputs.statistics`, standardised in the same way: `static_columns` (int64
    [S]) depend on the item alone and are a table, item_statistics float32 [items, S]; `dynamic_columns` (int64 [D])
    depend on the request too. Made by `FeatureStore.frozen`.
    """

    def __init__(self, store: FeatureStore) -> None:
        self._store = store
        bank = store.bank
        widths = {name: bank.width(name) for name in bank.cross_groups}
        starts = dict(zip(widths, torch.tensor([0, *widths.values()]).cumsum(0).tolist(), strict=False))
        static = [name for name in widths if bank.is_static(name)]
        self._pairs = [name for name in widths if not bank.is_static(name)]

        def columns(names: list[str]) -> list[int]:
            return [column for name in names for column in range(starts[name], starts[name] + widths[name])]

        self.static_columns = torch.tensor(columns(static), dtype=torch.int64)
        closeness = range(sum(widths.values()), store.spec.cross_width)
        self.dynamic_columns = torch.tensor([*columns(self._pairs), *closeness], dtype=torch.int64)
        every = torch.arange(len(store.items))
        unknown = torch.full_like(every, -1)
        keys = store.items.keys(unknown, every, dict.fromkeys(bank.meta.contexts, unknown))
        raw = [bank.final(name, keys) for name in static]
        values = torch.cat(raw, 1) if raw else torch.zeros(len(every), 0)
        self.item_statistics = store.standardise_cross(values, self.static_columns)

    def covers(self, requests: Requests) -> bool:
        """Whether every request is at or after the end of the log."""
        return bool((requests.time >= self._store.meta.end).all())

    def dynamic(self, requests: Requests, offsets: Tensor, item: Tensor) -> Tensor:
        """float32 [n, D]: the dynamic columns of candidates `item` (int64 [n]); request b owns offsets[b]:offsets[b+1].

        The requests must be covered.
        """
        store, owner = self._store, segment_of(offsets)
        keys = store.keys(store.take(requests, owner), item)
        parts = [store.bank.final(name, keys) for name in self._pairs]
        parts += store.closeness(requests, owner, item)
        values = torch.cat(parts, 1) if parts else torch.zeros(len(item), 0)
        return store.standardise_cross(values, self.dynamic_columns)
