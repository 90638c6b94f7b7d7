"""Features as one serves them today: tables that are made once a day, gathered by torch for the whole batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headrace.features import FeatureStore
from headrace.features.codes import age_bucket
from headrace.features.families.age import Age
from headrace.features.families.content import Content
from headrace.features.families.contexts import Contexts
from headrace.features.families.statistics import Statistics
from headrace.features.family import Asked, Made
from headrace.jagged import segment_of
from headrace.kernels.lookup_pairs import PairTable
from headrace.state import State
from headrace.types import Requests


@dataclass(frozen=True)
class PairRows:
    """The rows of a table of (user, what an item has): keys int64 [m] ascending, the first -1 for every other pair."""

    keys: Tensor
    rows: Tensor
    of_item: Tensor
    size: int

    @classmethod
    def of(cls, table: PairTable) -> PairRows:
        assert table.item_code is not None
        size = int(table.codes.max() if len(table.codes) else 0) + 1
        keys = segment_of(table.offsets) * size + table.codes
        return cls(torch.cat([torch.tensor([-1]), keys]), table.rows, table.item_code.long(), size)

    def __call__(self, user: Tensor, item: Tensor) -> Tensor:
        other = self.of_item.index_select(0, item)
        key = torch.where((user >= 0) & (other >= 0) & (other < self.size), user * self.size + other, -1)
        place = torch.searchsorted(self.keys, key).clamp_max(len(self.keys) - 1)
        return self.rows.index_select(0, torch.where(self.keys.index_select(0, place) == key, place, 0))


class FeatureTables:
    """Every feature at the end of the log. Entry u + 1 of users' tables is user u's, entry 0 the unknown one's.

    items: name -> the column of every item.
    """

    def __init__(self, state: State) -> None:
        """Raises ValueError for a log with an older history or crossed contexts: the stack leaves those out."""
        self.store = FeatureStore.from_state(state)
        statistics, age, contexts = (self.store.family(Statistics), self.store.family(Age), self.store.family(Contexts))
        assert statistics is not None
        assert age is not None
        assert contexts is not None
        if statistics.bank.meta.past_signals or statistics.bank.meta.contexts:
            raise ValueError("state: expected statistics of one log without crossed contexts, as the synthetic one has")
        self.users = self.store.columns["user"].size - 1
        everyone = torch.arange(-1, self.users)
        made = self.store.request_columns(Requests(everyone, torch.full_like(everyone, self.store.end)))
        self._contexts = contexts
        own = {column.name for column in contexts.columns}
        self._users = {name: column for name, column in made.items() if name not in own}
        self.items = self.store.item_columns(torch.arange(self.store.items))
        self._published = age.publish_time
        self._pairs = [PairRows.of(table) for table in statistics.frozen().tables]
        self._content = self.store.family(Content)

    def requests(self, requests: Requests) -> Made:
        """The request side. Raises ValueError for one before the end of the log: the tables know nothing of it."""
        if len(requests) and int(requests.time.min()) < self.store.end:
            raise ValueError(f"requests.time: expected {self.store.end} or later, got {int(requests.time.min())}")
        known = {name: column.index_select(0, requests.user + 1) for name, column in self._users.items()}
        return {**known, **self._contexts.request(Asked(requests, requests.time, ended=True, clock=requests.time))}

    def pairs(self, requests: Requests, made: Made, offsets: Tensor, owner: Tensor, item: Tensor) -> Made:
        """The pair side of the candidates `item`, request `owner` of each, whose entries lie between the offsets."""
        user, time = requests.user.index_select(0, owner), requests.time.index_select(0, owner)
        found = {"age": age_bucket(self._published.index_select(0, item), time.clamp_max(self.store.end))}
        if self._pairs:
            found["statistics"] = torch.cat([table(user, item) for table in self._pairs], 1)
        if self._content is not None and self._content.recent is not None:
            close = closeness(self._content.vectors, made[self._content.recent], offsets, owner, item)
            found["closeness"] = self._content.standardise(close)
        return found


def closeness(content: Tensor, behaviour: Tensor, offsets: Tensor, owner: Tensor, item: Tensor) -> Tensor:
    """float32 [n, 2]: mean and greatest similarity to the user's last items, by one padded batched product."""
    longest = int(offsets.diff().max()) if len(item) else 1
    place = owner * longest + torch.arange(len(item)) - offsets.index_select(0, owner)
    padded = torch.zeros(len(behaviour) * longest, content.shape[1])
    padded.index_copy_(0, place, content.index_select(0, item))
    recent = content.index_select(0, behaviour.clamp_min(1).flatten() - 1).view(*behaviour.shape, -1)
    present = (behaviour > 0)[:, None]
    similar = torch.bmm(padded.view(len(behaviour), longest, -1), recent.transpose(1, 2))
    mean = (similar * present).sum(2) / present.sum(2).clamp_min(1)
    highest = similar.masked_fill(~present, -1).amax(2) * present.any(2)
    return torch.stack([mean, highest], 2).flatten(0, 1).index_select(0, place)
