"""Counts and rates of users, items and authors, and of pairs of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headrace.data.dataset import Dataset
from headrace.features.bank import StatisticsBank
from headrace.features.columns import Column, Side
from headrace.features.family import Asked, Family, Made, Scale, family
from headrace.features.keys import ItemKeys, Keys
from headrace.features.settings import FeatureSettings
from headrace.jagged import offsets_of
from headrace.kernels.forks import Lock
from headrace.kernels.lookup_pairs import PairTable, lookup_pairs
from headrace.state import State
from headrace.types import Requests

#: The column that each side's statistics are.
COLUMNS: dict[Side, str] = {"request": "request_statistics", "item": "item_statistics", "pair": "statistics"}


@dataclass(frozen=True)
class Frozen:
    """The statistics as the log ends, standardised. item: float32 [items, S]. groups: those of pairs, with a table
    each."""

    item: Tensor
    groups: tuple[str, ...]
    tables: tuple[PairTable, ...]


@family
class Statistics(Family):
    """bank: the counters. items: what the items' statistics are kept of. users: how many there are."""

    name = "statistics"
    moving = (COLUMNS["item"],)
    standardised = tuple(COLUMNS.values())
    costly = True

    def __init__(self, bank: StatisticsBank, items: ItemKeys, users: int) -> None:
        self.bank = bank
        self.items = items
        self._users = users
        widths = {side: sum(bank.width(name) for name in bank.sides[side]) for side in COLUMNS}
        self.columns = tuple(Column(COLUMNS[side], side, "dense", width) for side, width in widths.items() if width)
        self._scales = {COLUMNS[side]: Scale.none(width) for side, width in widths.items()}
        self._lock = Lock()
        self._frozen: Frozen | None = None

    @classmethod
    def fit(cls, dataset: Dataset, settings: FeatureSettings, earlier: Family | None = None) -> Statistics:
        items = ItemKeys.fit(dataset.catalogue)
        return cls(StatisticsBank.fit(dataset, items, settings), items, len(dataset.users))

    def scale(self, scales: dict[str, Scale]) -> None:
        self._scales = {**self._scales, **scales}
        self._frozen = None

    def request(self, asked: Asked) -> Made:
        return self._made("request", self.keys(asked.requests), asked)

    def moved(self, item: Tensor, asked: Asked | None) -> Made:
        if asked is None:
            return {COLUMNS["item"]: self.frozen().item.index_select(0, item)}
        return self._made("item", self.keys(asked.requests, item), asked)

    def pair(self, asked: Asked, made: Made, offsets: Tensor | None, item: Tensor) -> Made:
        if asked.ended and offsets is not None:
            return self._looked_up(asked.requests, offsets, item)
        each = asked.each(offsets)
        return self._made("pair", self.keys(each.requests, item), each)

    def _made(self, side: Side, keys: Keys, asked: Asked) -> Made:
        if not self.bank.sides[side]:
            return {}
        raw = self.bank.features(self.bank.sides[side], keys, asked.moment, asked.ended)
        return {COLUMNS[side]: self._scales[COLUMNS[side]](raw)}

    def _looked_up(self, requests: Requests, offsets: Tensor, item: Tensor) -> Made:
        frozen = self.frozen()
        if not frozen.tables:
            return {}
        keys = torch.stack([self._key(name, requests) for name in frozen.groups])
        return {COLUMNS["pair"]: lookup_pairs(frozen.tables, keys, offsets, item)}

    def keys(self, requests: Requests, item: Tensor | None = None) -> Keys:
        """What the statistics of `requests`, each with its `item` where given, are kept of."""
        unknown = torch.full_like(requests.user, -1)
        crossed = {name: requests.context.get(name, unknown) for name in self.bank.meta.contexts}
        if item is None:
            return Keys(requests.user, unknown, unknown, unknown, crossed)
        return self.items.keys(requests.user, item, crossed)

    def frozen(self) -> Frozen:
        """What serves every request at or after the end of the log. Made once; safe from many threads."""
        with self._lock:
            if self._frozen is None:
                self._frozen = self._freeze()
            return self._frozen

    def _freeze(self) -> Frozen:
        every = torch.arange(len(self.items))
        asked = Asked(Requests(torch.full_like(every, -1), every), every, ended=True, clock=every)
        item = self._made("item", self.keys(asked.requests, every), asked).get(COLUMNS["item"])
        groups = self.bank.sides["pair"]
        scale = self._scales[COLUMNS["pair"]]
        spans = torch.tensor([0, *(self.bank.width(name) for name in groups)]).cumsum(0).tolist()
        tables = [self._table(name, scale.part(*spans[g : g + 2])) for g, name in enumerate(groups)]
        return Frozen(
            torch.zeros(len(every), 0, dtype=torch.float32) if item is None else item, tuple(groups), tuple(tables)
        )

    def _table(self, name: str, scale: Scale) -> PairTable:
        first, second, raw = self.bank.pairs(name)
        by_item, other = self.bank.halves(name)
        lists = len(self.items) if by_item else self._users
        offsets = offsets_of(torch.bincount(first, minlength=lists))
        return PairTable(offsets, second.int(), scale(raw), None if by_item else getattr(self.items, other).int())

    def _key(self, name: str, requests: Requests) -> Tensor:
        by_item, other = self.bank.halves(name)
        if not by_item:
            return requests.user
        known = requests.context.get(other)
        return torch.full_like(requests.user, -1) if known is None else known

    def state(self) -> State:
        return State.of(bank=self.bank.state(), items=self.items.state(), users=self._users)

    @classmethod
    def from_state(cls, state: State) -> Statistics:
        bank = StatisticsBank.from_state(state.under("bank"))
        items, users = ItemKeys.from_state(state.under("items")), state.fact("users", int)
        if users != state.rows.get("users", users):
            raise ValueError(f"users: expected {state.rows['users']}, got {users}")
        return cls(bank, items, users)
