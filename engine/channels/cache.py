"""Cache: what ranked high for a user in earlier recommendations and was never shown."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from headrace.channels import ChannelSettings, Remembering, channel
from headrace.channels.shared.two_hop import check_quota
from headrace.jagged import offsets_of, segment_of, top_per_segment
from headrace.kernels.forks import Lock
from headrace.state import State
from headrace.training.build import Build
from headrace.types import Candidates, Requests

DAY_MS = 86_400_000
_COUNT = Annotated[int, Field(ge=1, lt=1 << 15)]
#: Column of an entry -> its type, and what an empty one has.
_COLUMNS = {
    "item": (torch.int32, -1),
    "score": (torch.float32, 0),
    "stored": (torch.int64, 0),
    "recalls": (torch.int16, 0),
}


@channel
class Cache(Remembering):
    """Recall of the ranking's own best of a user's earlier recommendations, as far as they weren't shown.

    Of every recommendation the `top` of the ranking are kept. An item leaves when it is shown, when it was recalled
    `recalls` times or is `days` old, and as the oldest of more than `capacity`; one that is kept and ranks high again
    stays as it was. A snapshot begins with none.
    row: int32 [U], the user's row of the tables, 0, which is empty, for none. tables: [R, capacity] each, the newest at
    the right: item int32, -1 empty; score float32, the ranking's; stored int64, ms since the epoch; recalls int16. Safe
    from many threads.
    """

    name = "cache"
    personalised = True

    class Settings(ChannelSettings):
        """What ranked high and wasn't shown."""

        top: int = Field(default=50, ge=1, lt=1 << 15, description="items of a recommendation that are kept, the best")
        capacity: int = Field(default=100, ge=1, lt=1 << 15, description="items of a user that are kept, the last")
        recalls: int = Field(default=10, ge=1, lt=1 << 15, description="times that an item is recalled at most")
        days: float = Field(default=3.0, gt=0, le=36_500, description="days that an item is kept")

    def __init__(self, row: Tensor, tables: dict[str, Tensor], top: int, most: int, days: float) -> None:
        self.row, self.tables, self.top, self.most, self.days = row, tables, top, most, days
        self._lock = Lock()

    @classmethod
    def fit(cls, build: Build, settings: Settings) -> Cache:
        row = torch.zeros(len(build.dataset.users), dtype=torch.int32)
        return cls(row, _empty(1, settings.capacity), settings.top, settings.recalls, settings.days)

    def recall(self, requests: Requests, quota: int) -> Candidates:
        """score = the ranking's when the item was kept. Raises ValueError for a quota below 1 or a user row outside the
        table."""
        check_quota(quota)
        user = requests.user
        if len(user) and not -1 <= int(user.min()) <= int(user.max()) < len(self.row):
            raise ValueError(f"user: expected rows from -1 to {len(self.row) - 1}, got {user.tolist()[:8]}")
        if not len(user) or not len(self.row):
            return Candidates.empty(len(user))
        with self._lock:
            row = self.row.index_select(0, user.clamp_min(0)).masked_fill_(user < 0, 0)
            held = {name: table.index_select(0, row) for name, table in self.tables.items()}
        there = self._alive(held, requests.time)
        kept = there.view(-1).nonzero().squeeze(1)
        item, score = (held[name].view(-1).index_select(0, kept) for name in ("item", "score"))
        item = item.long()
        index, offsets = top_per_segment(offsets_of(there.sum(1)), score, item, quota)
        item = item.index_select(0, index)
        return Candidates(offsets, item, score.index_select(0, index), torch.zeros_like(item))

    # Tensors made in inference mode could be changed nowhere else.
    @torch.inference_mode(False)
    def served(self, requests: Requests, recalled: Candidates, ranked: Candidates) -> None:
        """Keeps the best of `ranked`; of several requests of a user in a batch the last counts."""
        places = _last_of_each(requests.user)
        index, offsets = top_per_segment(ranked.offsets, ranked.score, ranked.item, self.top)
        owner = segment_of(offsets)
        # The best last, so that the worst leaves first.
        place = self.top - 1 - (torch.arange(len(index)) - offsets[owner])
        new = _empty(len(requests), self.top)
        new["item"][owner, place] = ranked.item[index].int()
        new["score"][owner, place] = ranked.score[index]
        new["stored"] += requests.time[:, None]
        new = {name: column[places] for name, column in new.items()}
        span = 1 << 31  # above all rows of a catalogue
        request = places[:, None] * span
        with self._lock:
            row = self._rows(requests.user[places])
            held = {name: table[row] for name, table in self.tables.items()}
            mine = recalled.request * span + recalled.item
            held["recalls"] += torch.isin(request + held["item"], mine)
            held["item"].masked_fill_(~self._alive(held, requests.time[places]), -1)
            # What the cache itself brought up ranks high again, and would never leave.
            known = torch.cat([(request + held["item"]).flatten(), mine])
            new["item"].masked_fill_(torch.isin(request + new["item"], known), -1)
            both = {name: torch.cat([column, new[name]], 1) for name, column in held.items()}
            order = torch.argsort((both["item"] >= 0).int(), dim=1, stable=True)[:, -held["item"].shape[1] :]
            for name, table in self.tables.items():
                table[row] = both[name].gather(1, order)

    @torch.inference_mode(False)
    def shown(self, users: Tensor, items: Tensor) -> None:
        with self._lock:
            users, items = users[users >= 0], items[users >= 0]
            row = self.row[users].long()
            known = (row > 0).nonzero().squeeze(1)
            pair, place = (self.tables["item"][row[known]] == items[known, None]).nonzero().T
            self.tables["item"][row[known][pair], place] = -1

    def _rows(self, users: Tensor) -> Tensor:
        """int64 [m], the rows of the tables of distinct users, made for those without one."""
        without = users[self.row[users] == 0]
        used = int(self.row.max()) + 1 if len(self.row) else 1
        if (missing := used + len(without) - len(self.tables["item"])) > 0:
            more = max(missing, len(self.tables["item"]) // 2)
            grown = _empty(more, self.tables["item"].shape[1])
            self.tables = {name: torch.cat([table, grown[name]]) for name, table in self.tables.items()}
        self.row[without] = torch.arange(used, used + len(without), dtype=torch.int32)
        return self.row[users].long()

    def _alive(self, held: dict[str, Tensor], time: Tensor) -> Tensor:
        fresh = held["stored"] > time[:, None] - int(self.days * DAY_MS)
        return (held["item"] >= 0) & (held["recalls"] < self.most) & fresh

    def state(self) -> State:
        with self._lock:
            held: dict[str, Any] = {name: table.clone() for name, table in self.tables.items()}
            row = self.row.clone()
        return State.of(row=row, top=self.top, most=self.most, days=self.days, **held)

    @classmethod
    def from_state(cls, state: State) -> Cache:
        rows, capacity = state.tensor("item", torch.int32, None, None, least=-1, below="items").shape
        tables = {
            name: state.tensor(name, dtype, rows, capacity, least=None if name in ("item", "score") else 0).clone()
            for name, (dtype, _) in _COLUMNS.items()
        }
        if rows < 1 or bool((tables["item"][0] >= 0).any()):
            raise ValueError("item: expected nothing in the first row, which is nobody's, got items")
        row = state.tensor("row", torch.int32, "users", least=0, below=rows).clone()
        days = state.fact("days", Annotated[float, Field(gt=0, le=36_500)])
        return cls(row, tables, state.fact("top", _COUNT), state.fact("most", _COUNT), days)


def _last_of_each(users: Tensor) -> Tensor:
    """int64 [m]: the last place of each distinct user but -1."""
    known = (users >= 0).nonzero().squeeze(1)
    distinct, which = torch.unique(users[known], return_inverse=True)
    return torch.zeros_like(distinct).scatter_reduce_(0, which, known, "amax", include_self=False)


def _empty(rows: int, capacity: int) -> dict[str, Tensor]:
    return {name: torch.full((rows, capacity), value, dtype=dtype) for name, (dtype, value) in _COLUMNS.items()}
