"""The features of a snapshot that serves: at the end of its log nothing moves any more, so most is a look-up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from headrace.jagged import offsets_of
from headrace.kernels.closeness import closeness
from headrace.kernels.lookup_pairs import PairTable, lookup_pairs
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
        starts = torch.tensor([0, *(bank.width(name) for name in bank.cross_groups)]).cumsum(0).tolist()
        spans = {name: range(*starts[i : i + 2]) for i, name in enumerate(bank.cross_groups)}
        static = [name for name in spans if bank.is_static(name)]
        self._groups = [name for name in spans if not bank.is_static(name)]
        self._closeness = _columns([range(starts[-1], store.spec.cross_width)])

        self.static_columns = _columns([spans[name] for name in static])
        self.dynamic_columns = torch.cat([_columns([spans[name] for name in self._groups]), self._closeness])
        every = torch.arange(len(store.items))
        keys = store.items.keys(every, every, {})
        raw = [bank.final(name, keys) for name in static]
        values = torch.cat(raw, 1) if raw else torch.zeros(len(every), 0)
        self.item_statistics = store.standardise_cross(values, self.static_columns)
        self._mean, self._scale = store.scales("cross", self._closeness)
        self._tables = [self._table(name, _columns([spans[name]])) for name in self._groups]

    def covers(self, requests: Requests) -> bool:
        """Whether every request is at or after the end of the log."""
        return self._store.ended(requests.time)

    def dynamic(self, requests: Requests, offsets: Tensor, item: Tensor) -> Tensor:
        """float32 [n, D]: the dynamic columns of candidates `item` (int64 [n]); request b owns offsets[b]:offsets[b+1].

        The requests must be covered.
        """
        parts = []
        if self._tables:
            keys = torch.stack([self._key(name, requests) for name in self._groups])
            parts.append(lookup_pairs(self._tables, keys, offsets, item))
        content = self._store.items.content
        if content is not None:
            close = closeness(content, self._store.behaviour(requests) - 1, offsets, item)
            parts.append(close.sub_(self._mean).mul_(self._scale).clamp_(-10, 10))
        return torch.cat(parts, 1) if parts else torch.zeros(len(item), 0)

    def _table(self, name: str, columns: Tensor) -> PairTable:
        store = self._store
        first, second, raw = store.bank.pairs(name)
        rows = store.standardise_cross(raw, columns)
        by_item, other = store.bank.halves(name)
        lists = len(store.items) if by_item else len(store.users)
        offsets = offsets_of(torch.bincount(first, minlength=lists))
        return PairTable(offsets, second.int(), rows, None if by_item else getattr(store.items, other).int())

    def _key(self, name: str, requests: Requests) -> Tensor:
        by_item, other = self._store.bank.halves(name)
        if not by_item:
            return requests.user
        known = requests.context.get(other)
        return torch.full_like(requests.user, -1) if known is None else known


def _columns(spans: list[range]) -> Tensor:
    return torch.tensor([column for span in spans for column in span], dtype=torch.int64)
