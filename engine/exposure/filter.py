"""The exposure filter: a user is never shown again what was shown within the window."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from headrace.data.dataset import InteractionLog
from headrace.exposure.bank import FilterBank
from headrace.exposure.recent import RecentItems, rank_in_group
from headrace.jagged import offsets_of
from headrace.kernels.bloom import bloom_contains_lists
from headrace.kernels.checks import check_at_least, check_tensor
from headrace.state import State
from headrace.types import Candidates, Requests

DAY_MS = 86_400_000
CAPACITIES = (12, 48, 192, 768, 3072)


class ExposureFilter:
    """Bloom filters of what each user was shown (Bloom, CACM 1970), aged by generations, beside an exact recent list.

    Time is cut into generations of window / `generations`; the last `generations` + 1 are kept, each in a slot of its
    own. So what was shown within the window is always seen, and is forgotten at most one generation later. Within a
    generation a user's filters form a chain of sizes: when one holds `capacities[c]` items, the next item goes to size
    c + 1. `seen` asks all of them; their rates, every filter full, add up to `designed_fpr`, at most `fpr`. Past the
    last capacity the rate rises (`overfull` counts such chains).

    fpr: false-positive rate of `seen`, 1e-5 to 0.5. window_days: how long an exposure counts. recent: length of the
    exact list. Safe from many threads: writers take turns, readers never wait.
    Raises ValueError for a setting out of range.
    """

    def __init__(
        self,
        fpr: float = 0.01,
        *,
        window_days: float = 30.0,
        generations: int = 3,
        capacities: Sequence[int] = CAPACITIES,
        recent: int = 16,
    ) -> None:
        if not 1e-5 <= fpr <= 0.5:
            raise ValueError(f"fpr: expected 1e-5 to 0.5, got {fpr}")
        check_at_least("generations", generations, 1)
        check_at_least("recent", recent, 0)
        self.fpr, self.window_ms, self.generations = fpr, round(window_days * DAY_MS), generations
        if self.window_ms < generations:
            raise ValueError(f"window_days: expected at least 1 ms a generation, got {window_days}")
        if not capacities or min(capacities) < 1:
            raise ValueError(f"capacities: expected at least one, each at least 1, got {list(capacities)}")
        self._period = -(-self.window_ms // generations)
        # Large filters carry most keys, so they get the larger share of the rate: each size twice the one before.
        unit = fpr / self._slots / (2 ** len(capacities) - 1)
        self._banks = [FilterBank(capacity, unit * 2**c, self._slots) for c, capacity in enumerate(capacities)]
        self._full = torch.tensor(list(capacities)).cumsum(0)
        self._count = torch.zeros(1, self._slots, dtype=torch.int32)
        self._recent = RecentItems(recent)
        self._newest: int | None = None
        self._users = 0
        self._lock = threading.Lock()

    @classmethod
    def build(
        cls, log: InteractionLog, *, users: int, now: int | None = None, fpr: float = 0.01, window_days: float = 30.0
    ) -> ExposureFilter:
        """A filter of the log's impressions up to `now` (ms since the epoch; default: the log's last time).

        A row is an impression unless its impression signal says 0. users: how many users to make room for.
        """
        seen = cls(fpr, window_days=window_days)
        seen._grow(users)
        if now is None:
            now = int(log.time[-1]) if len(log) else 0
        seen.advance(now)
        shown = torch.from_numpy(log.time <= now)
        if "impression" in log.signals:
            shown &= torch.from_numpy(log.signals["impression"] != 0)
        user, item, at = (torch.tensor(column, dtype=torch.int64)[shown] for column in (log.user, log.item, log.time))
        seen.record(user, item, at)
        return seen

    def record(self, users: Tensor, items: Tensor, at: Tensor | int | None = None) -> None:
        """Notes that users[i] was shown items[i] at at[i]; seen by every `seen` that starts after this returns.

        users: int64 [n] dense rows; negative rows are skipped, new ones make room. items: int64 [n], 0 to 2^31 - 1.
        at: ms since the epoch, int64 [n], one for all, or None for now. The newest time so far moves the window on; an
        exposure older than all kept generations is skipped. Raises TypeError or ValueError for bad input.
        """
        _check_pairs(users, items)
        if isinstance(at, Tensor):
            check_tensor("at", at, dtype=torch.int64, ndim=1, device=users.device)
            if at.shape != users.shape:
                raise ValueError(f"at: expected {users.shape[0]} entries, one for each pair, got {at.shape[0]}")
        else:
            at = torch.full_like(users, int(time.time() * 1000) if at is None else at)
        if items.numel() and not 0 <= int(items.min()) <= int(items.max()) < 2**31:
            raise ValueError(f"items: expected 0 to 2^31-1, got {int(items.min())} to {int(items.max())}")
        known = users >= 0
        users, items, at = users[known], items[known], at[known]
        if users.shape[0]:
            with self._lock:
                self._record(users, items, at)

    def seen(self, users: Tensor, items: Tensor) -> Tensor:
        """bool [n]: whether users[i] (int64 [n]; negative or new rows: False) was shown items[i] (int64 [n]).

        Never False for an exposure within the window; True by mistake at `designed_fpr` at most.
        """
        _check_pairs(users, items)
        # A request's candidates come together: look its user's filters up once.
        entries, counts = torch.unique_consecutive(self._entries(users), return_counts=True)
        return self._seen(entries, offsets_of(counts), items)

    def filter(self, candidates: Candidates, requests: Requests) -> tuple[Candidates, Tensor]:
        """The candidates their user has not seen, and which of those given were removed (bool [nnz])."""
        if len(requests) != candidates.batch:
            raise ValueError(
                f"requests: expected {candidates.batch}, one for each list of candidates, got {len(requests)}"
            )
        removed = self._seen(self._entries(requests.user), candidates.offsets, candidates.item)
        return candidates.keep(~removed), removed

    def recent(self, users: Tensor) -> Tensor:
        """int64 [n, recent]: the last items recorded for each user, newest first, -1 where there are fewer."""
        check_tensor("users", users, dtype=torch.int64, ndim=1)
        return self._recent.latest(self._entries(users))

    def seen_recently(self, users: Tensor, items: Tensor) -> Tensor:
        """bool [n]: whether items[i] is among the last `recent` recorded for users[i]. Exact, whatever its age."""
        _check_pairs(users, items)
        return self._recent.contains(self._entries(users), items)

    def advance(self, now: int) -> None:
        """Moves the window on to `now` (ms since the epoch) and drops the generations that fall out of it."""
        with self._lock:
            self._advance(now // self._period)

    @property
    def users(self) -> int:
        """Users there is room for; `record` makes more."""
        return self._users

    @property
    def designed_fpr(self) -> float:
        """Upper bound on the rate of false positives of a user whose filters are all full."""
        return self._slots * sum(bank.fpr for bank in self._banks)

    @property
    def overfull(self) -> int:
        """(user, generation) pairs that hold more than the capacities together."""
        return int((self._count > int(self._full[-1])).sum())

    @property
    def bits_per_user(self) -> float:
        """Bits of Bloom filter allocated, over the users there is room for."""
        return sum(bank.bits.nbytes for bank in self._banks) * 8 / max(self._users, 1)

    @property
    def memory_bytes(self) -> int:
        """Bytes of all tensors: filters, the tables that name them, counts and recent lists."""
        return sum(bank.nbytes for bank in self._banks) + self._count.nbytes + self._recent.nbytes

    def state(self) -> State:
        """All that `from_state` needs. A copy: later records do not change it."""
        with self._lock:
            return State.of(
                fpr=self.fpr,
                window_ms=self.window_ms,
                generations=self.generations,
                capacities=[bank.capacity for bank in self._banks],
                newest=self._newest,
                count=self._count.clone(),
                recent=State.of(items=self._recent.items.clone(), count=self._recent.count.clone()),
                **{
                    f"bank{c}": State.of(row=bank.row.clone(), bits=bank.bits.clone())
                    for c, bank in enumerate(self._banks)
                },
            )

    @classmethod
    def from_state(cls, state: State) -> ExposureFilter:
        """Raises ValueError, before memory is taken for it, for what `state` does not give."""
        count = state.tensor("count", torch.int32, None, None, least=0)
        entries, slots = count.shape
        recent = state.under("recent")
        items = recent.tensor("items", torch.int32, entries, None, least=-1)
        generations = state.fact("generations", int)
        if entries < 1 or generations != slots - 1:
            raise ValueError(f"count: expected [1 + users, {generations} + 1], got {list(count.shape)}")
        seen = cls(
            state.fact("fpr", float),
            window_days=state.fact("window_ms", int) / DAY_MS,
            generations=generations,
            capacities=state.fact("capacities", list[Annotated[int, Field(ge=1, lt=1 << 31)]]),
            recent=items.shape[1],
        )
        seen._newest = state.fact("newest", Annotated[int, Field(gt=-(1 << 62), lt=1 << 62)] | None)
        seen._count = count.clone()
        seen._users = entries - 1
        seen._recent.items = items.clone()
        seen._recent.count = recent.tensor("count", torch.int64, entries, least=0).clone()
        for c, bank in enumerate(seen._banks):
            saved = state.under(f"bank{c}")
            bits = saved.tensor("bits", torch.int64, None, bank.words)
            row = saved.tensor("row", torch.int32, entries, slots, least=-1, below=len(bits))
            bank.load(row.clone(), bits.clone())
        return seen

    @property
    def _slots(self) -> int:
        return self.generations + 1

    def _entries(self, users: Tensor) -> Tensor:
        """Entries of the tables: 0, nobody's, for users without one."""
        users_now = self._users  # once: it may grow meanwhile
        return (users.clamp(-1, users_now) + 1) % (users_now + 1)

    def _seen(self, entries: Tensor, offsets: Tensor, items: Tensor) -> Tensor:
        """bool [n]: whether entries[b] was shown items[i], for i in offsets[b]:offsets[b+1]."""
        # Copies of the rows before the bits that they name: see FilterBank.
        rows = [bank.row.index_select(0, entries) for bank in self._banks]
        bits, hashes = [bank.bits for bank in self._banks], [bank.hashes for bank in self._banks]
        return bloom_contains_lists(bits, rows, hashes, offsets, items)

    def _record(self, users: Tensor, items: Tensor, at: Tensor) -> None:
        generation = torch.div(at, self._period, rounding_mode="floor")
        newest = self._advance(int(generation.max()))
        live = generation > newest - self._slots
        users, items, slot = users[live], items[live], generation[live] % self._slots
        if users.shape[0] == 0:
            return
        self._grow(int(users.max()) + 1)
        entries = users + 1
        self._recent.push(entries, items)
        # What a slot holds already must not use up its capacity again: streams deliver at least once.
        fresh = torch.ones_like(users, dtype=torch.bool)
        for bank in self._banks:
            fresh &= ~bank.contains_in(entries, slot, items)
        self._insert(entries[fresh], slot[fresh], items[fresh])

    def _insert(self, entries: Tensor, slot: Tensor, items: Tensor) -> None:
        pair = entries * self._slots + slot
        count = self._count.view(-1)
        place = count[pair] + rank_in_group(pair)
        count.index_add_(0, pair, torch.ones_like(pair, dtype=torch.int32))
        size = torch.bucketize(place, self._full, right=True).clamp_max(len(self._banks) - 1)
        for c, bank in enumerate(self._banks):
            mine = size == c
            if bool(mine.any()):
                bank.insert(entries[mine], slot[mine], items[mine])

    def _advance(self, generation: int) -> int:
        if self._newest is None:
            self._newest = generation
        for entered in range(max(self._newest + 1, generation - self._slots + 1), generation + 1):
            slot = entered % self._slots
            self._count[:, slot] = 0
            for bank in self._banks:
                bank.drop(slot)
        self._newest = max(self._newest, generation)
        return self._newest

    def _grow(self, users: int) -> None:
        if users <= self._users:
            return
        entries = max(users, self._users + self._users // 2) + 1
        more = torch.zeros(entries - self._count.shape[0], self._slots, dtype=torch.int32)
        self._count = torch.cat([self._count, more])
        self._recent.grow_users(entries)
        for bank in self._banks:
            bank.grow_users(entries)
        # Readers look a user up only below this number, so it moves last.
        self._users = entries - 1


def _check_pairs(users: Tensor, items: Tensor) -> None:
    check_tensor("users", users, dtype=torch.int64, ndim=1, device=torch.device("cpu"))
    check_tensor("items", items, dtype=torch.int64, ndim=1, device=torch.device("cpu"))
    if users.shape != items.shape:
        raise ValueError(f"items: expected {users.shape[0]} entries, one for each user, got {items.shape[0]}")
