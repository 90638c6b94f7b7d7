"""The exposure filter: a user is never shown again what was shown within the window."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from headrace.data.dataset import InteractionLog
from headrace.exposure.bank import FilterBank
from headrace.exposure.clock import Clock
from headrace.exposure.days import Days
from headrace.exposure.recent import RecentItems, rank_in_group
from headrace.jagged import offsets_of
from headrace.kernels.bloom import bloom_contains_lists
from headrace.kernels.checks import check_at_least, check_tensor
from headrace.kernels.forks import Lock
from headrace.state import State
from headrace.types import Candidates, Requests

DAY_MS = 86_400_000
CAPACITIES = (12, 48, 192, 768, 3072)
#: Generations of a window of so many days or more; a shorter one has one a day.
_MOST_GENERATIONS = 30
_MOST_DAYS = 36_500
#: The smallest rate that one Bloom filter may be made for.
_LEAST_RATE = 1e-8
#: `record` makes room for this many times the users there is room for, and so many more; `make_room` for any number.
_MORE, _AND = 4, 1 << 16


class ExposureFilter:
    """Bloom filters of what each user was shown (Bloom, CACM 1970), aged by generations, beside an exact recent list.

    Time is cut into generations of window / `generations`; of each user the last `generations` + 1 are kept. A
    question has a time of its own: what was shown within the window before it, or after it, is seen, and what was shown
    earlier is forgotten at most one generation later. Within a generation a user's filters form a chain of sizes: when
    one holds `capacities[c]` items, the next item goes to size c + 1. `seen` asks all of them; their rates, every
    filter full, add up to `designed_fpr`, at most `fpr`. Past the last capacity the rate rises (`overfull` counts such
    chains). An exposure drives out older ones of its own user alone, and its time is checked (see `Clock`), so that a
    wrong one harms nobody else.

    fpr: false-positive rate of `seen`, 1e-5 to 0.5. window_days: how long an exposure counts. generations: one a day,
    at most 30, where not given. recent: length of the exact list. Safe from many threads: writers take turns, readers
    never wait. Raises ValueError for a setting out of range.
    """

    # Tensors made in inference mode could be changed nowhere else.
    @torch.inference_mode(False)
    def __init__(
        self,
        fpr: float = 0.01,
        *,
        window_days: float = 30.0,
        generations: int | None = None,
        capacities: Sequence[int] = CAPACITIES,
        recent: int = 16,
    ) -> None:
        if not 0 < window_days <= _MOST_DAYS:
            raise ValueError(f"window_days: expected more than 0, at most {_MOST_DAYS}, got {window_days}")
        if generations is None:
            generations = min(max(math.ceil(window_days), 1), _MOST_GENERATIONS)
        self._set(fpr, round(window_days * DAY_MS), generations, capacities, recent)

    def _set(self, fpr: float, window_ms: int, generations: int, capacities: Sequence[int], recent: int) -> None:
        if not 1e-5 <= fpr <= 0.5:
            raise ValueError(f"fpr: expected 1e-5 to 0.5, got {fpr}")
        check_at_least("generations", generations, 1)
        check_at_least("recent", recent, 0)
        if window_ms < generations:
            raise ValueError(f"window_days: expected at least 1 ms a generation, got {window_ms} ms for {generations}")
        if not capacities or min(capacities) < 1:
            raise ValueError(f"capacities: expected at least one, each at least 1, got {list(capacities)}")
        # Large filters carry most keys, so they get the larger share of the rate: each size twice the one before.
        unit = fpr / (generations + 1) / (2 ** len(capacities) - 1)
        if unit < _LEAST_RATE:
            raise ValueError(f"generations: expected fewer for a rate of {fpr}, got {generations}")
        self.fpr, self.window_ms, self.generations = fpr, window_ms, generations
        self._days = Days(generations + 1, -(-window_ms // generations))
        self._banks = [FilterBank(capacity, unit * 2**c, generations + 1) for c, capacity in enumerate(capacities)]
        self._full = torch.tensor(list(capacities)).cumsum(0)
        self._recent = RecentItems(recent)
        self._clock = Clock(window_ms)
        self._users = 0
        self._lock = Lock()

    @classmethod
    def build(
        cls, log: InteractionLog, *, users: int, now: int | None = None, fpr: float = 0.01, window_days: float = 30.0
    ) -> ExposureFilter:
        """A filter of the log's impressions up to `now` (ms since the epoch; default: the log's last time).

        A row is an impression unless its impression signal says 0. users: how many users to make room for.
        """
        seen = cls(fpr, window_days=window_days)
        seen.make_room(users)
        if now is None:
            now = int(log.time[-1]) if len(log) else 0
        seen.advance(now)
        shown = torch.from_numpy((log.time <= now) & (log.time > now - seen.window_ms - seen._days.period))
        if "impression" in log.signals:
            shown &= torch.from_numpy(log.signals["impression"] != 0)
        user, item, at = (torch.tensor(column, dtype=torch.int64)[shown] for column in (log.user, log.item, log.time))
        seen.record(user, item, at)
        return seen

    @torch.inference_mode(False)
    def record(self, users: Tensor, items: Tensor, at: Tensor | int | None = None, *, repeats: bool = True) -> None:
        """Notes that users[i] was shown items[i] at at[i]; seen by every `seen` that starts after this returns.

        users: int64 [n] dense rows; negative rows are skipped, new ones make room, up to 4 times the room there is and
        65,536 more. items: int64 [n], 0 to 2^31 - 1. at: ms since the epoch, int64 [n], one for all, or None for now.
        repeats: False: what a generation of the user holds already isn't put to the front of the recent list either.
        An exposure that its user has newer generations in place of is skipped; one of an implausible time (see `Clock`)
        too, and `dropped` counts both. Raises TypeError or ValueError for bad input; nothing has changed then, nor when
        memory runs out.
        """
        _check_pairs(users, items)
        if isinstance(at, Tensor):
            check_tensor("at", at, dtype=torch.int64, ndim=1, device=users.device)
            if at.shape != users.shape:
                raise ValueError(f"at: expected {users.shape[0]} entries, one for each pair, got {at.shape[0]}")
        elif at is None:
            now = int(time.time() * 1000)
            self.advance(now)
            at = torch.full_like(users, now)
        else:
            at = torch.full_like(users, min(max(operator.index(at), -1), Clock.LAST))
        if items.numel() and not 0 <= int(items.min()) <= int(items.max()) < 2**31:
            raise ValueError(f"items: expected 0 to 2^31-1, got {int(items.min())} to {int(items.max())}")
        limit = _MORE * self._users + _AND
        if users.numel() and int(users.max()) >= limit:
            raise ValueError(
                f"users: expected rows below {limit} where there is room for {self._users}, got {int(users.max())}; "
                "make_room() makes more"
            )
        known = users >= 0
        users, items, at = users[known], items[known], at[known]
        if users.shape[0]:
            with self._lock:
                self._record(users, items, at, repeats)

    def seen(self, users: Tensor, items: Tensor, at: Tensor | int | None = None) -> Tensor:
        """bool [n]: whether users[i] (int64 [n]; negative or new rows: False) was shown items[i] (int64 [n]) by at[i].

        at: ms since the epoch, int64 [n], one for all, or None for the newest time known. Never False for an exposure
        within the window before it, or later; True by mistake at `designed_fpr` at most.
        """
        _check_pairs(users, items)
        if at is None:
            at = self._clock.newest or 0
        at = at if isinstance(at, Tensor) else torch.full_like(users, at)
        # A request's candidates come together: look its user's filters up once.
        pairs, counts = torch.unique_consecutive(torch.stack([users, at]), dim=1, return_counts=True)
        return self.seen_lists(pairs[0], pairs[1], offsets_of(counts), items)

    def filter(self, candidates: Candidates, requests: Requests) -> tuple[Candidates, Tensor]:
        """The candidates their user has not seen, and which of those given were removed (bool [nnz])."""
        if len(requests) != candidates.batch:
            raise ValueError(
                f"requests: expected {candidates.batch}, one for each list of candidates, got {len(requests)}"
            )
        removed = self.seen_lists(requests.user, requests.time, candidates.offsets, candidates.item)
        return candidates.keep(~removed), removed

    def seen_lists(self, users: Tensor, at: Tensor, offsets: Tensor, items: Tensor, of: Tensor | None = None) -> Tensor:
        """bool [n]: whether users[l] was shown items[i] (int64 [n]) by at[l] (int64 [L] each), for i in
        offsets[l]:offsets[l+1]. of: int64 [L], whose list l is: of users[of[l]] by at[of[l]]; None: of users[l]."""
        entries = self._entries(users)
        # What counts before the rows, and copies of these before the bits that they name: see FilterBank.
        old = self._days.older(entries, at)
        rows = [bank.row.index_select(0, entries).masked_fill_(old, -1) for bank in self._banks]
        if of is not None:
            rows = [row.index_select(0, of) for row in rows]
        bits, hashes = [bank.bits for bank in self._banks], [bank.hashes for bank in self._banks]
        return bloom_contains_lists(bits, rows, hashes, offsets, items)

    def recent(self, users: Tensor) -> Tensor:
        """int64 [n, recent]: the last items recorded for each user, newest first, -1 where there are fewer."""
        check_tensor("users", users, dtype=torch.int64, ndim=1)
        return self._recent.latest(self._entries(users))

    def seen_recently(self, users: Tensor, items: Tensor) -> Tensor:
        """bool [n]: whether items[i] is among the last `recent` recorded for users[i]. Exact, whatever its age."""
        _check_pairs(users, items)
        return self._recent.contains(self._entries(users), items)

    @torch.inference_mode(False)
    def advance(self, now: int) -> None:
        """Says that it is `now` (ms since the epoch): what is later is judged by it. Nothing is forgotten by it."""
        with self._lock:
            self._clock.advance(now)

    @torch.inference_mode(False)
    def make_room(self, users: int) -> None:
        """Makes room for so many users; when memory runs out, nothing has changed."""
        with self._lock:
            self._grow(users)

    @property
    def users(self) -> int:
        """Users there is room for; `record` makes more."""
        return self._users

    @property
    def dropped(self) -> dict[str, int]:
        """Exposures that `record` skipped, by reason, since the filter was made or loaded."""
        return {"implausible time": self._clock.implausible, "too old": self._days.late}

    @property
    def designed_fpr(self) -> float:
        """Upper bound on the rate of false positives of a user whose filters are all full."""
        return (self.generations + 1) * sum(bank.fpr for bank in self._banks)

    @property
    def overfull(self) -> int:
        """(user, generation) pairs that hold more than the capacities together."""
        return int((self._days.count > int(self._full[-1])).sum())

    @property
    def bits_per_user(self) -> float:
        """Bits of Bloom filter allocated, over the users there is room for."""
        return sum(bank.bits.nbytes for bank in self._banks) * 8 / max(self._users, 1)

    @property
    def memory_bytes(self) -> int:
        """Bytes of all tensors: filters, the tables that name them, counts and recent lists."""
        return sum(bank.nbytes for bank in self._banks) + self._days.nbytes + self._recent.nbytes

    def state(self) -> State:
        """All that `from_state` needs. A copy: later records do not change it."""
        with self._lock:
            return State.of(
                fpr=self.fpr,
                window_ms=self.window_ms,
                generations=self.generations,
                capacities=[bank.capacity for bank in self._banks],
                newest=self._clock.newest,
                count=self._days.count.clone(),
                generation=self._days.generation.clone(),
                recent=State.of(items=self._recent.items.clone(), count=self._recent.count.clone()),
                **{
                    f"bank{c}": State.of(row=bank.row.clone(), bits=bank.bits.clone())
                    for c, bank in enumerate(self._banks)
                },
            )

    @classmethod
    @torch.inference_mode(False)
    def from_state(cls, state: State) -> ExposureFilter:
        """Raises ValueError, before memory is taken for it, for what `state` does not give."""
        count = state.tensor("count", torch.int32, None, None, least=0)
        entries, slots = count.shape
        recent = state.under("recent")
        items = recent.tensor("items", torch.int32, entries, None, least=-1)
        generations = state.fact("generations", int)
        if entries < 1 or generations != slots - 1:
            raise ValueError(f"count: expected [1 + users, {generations} + 1], got {list(count.shape)}")
        capacities = state.fact("capacities", list[Annotated[int, Field(ge=1, lt=1 << 31)]])
        window_ms = state.fact("window_ms", Annotated[int, Field(le=_MOST_DAYS * DAY_MS)])
        seen = cls.__new__(cls)
        seen._set(state.fact("fpr", float), window_ms, generations, capacities, items.shape[1])
        seen._clock.newest = state.fact("newest", Annotated[int, Field(gt=-(1 << 62), lt=1 << 62)] | None)
        seen._days.count = count.clone()
        if "generation" in state:
            seen._days.generation = state.tensor("generation", torch.int64, entries, slots).clone()
        else:
            # Before users had generations of their own, all had the same, and the newest was one of them.
            seen._days.generation = seen._days.share(seen._clock.newest)
            if seen._clock.newest is not None:
                seen._clock.newest *= seen._days.period
                if abs(seen._clock.newest) >= 1 << 62:
                    raise ValueError(f"generation: expected a table of them, got none and {seen._clock.newest} ms")
        seen._users = entries - 1
        seen._recent.items = items.clone()
        seen._recent.count = recent.tensor("count", torch.int64, entries, least=0).clone()
        for c, bank in enumerate(seen._banks):
            saved = state.under(f"bank{c}")
            bits = saved.tensor("bits", torch.int64, None, bank.words)
            row = saved.tensor("row", torch.int32, entries, slots, least=-1, below=len(bits))
            bank.load(row.clone(), bits.clone())
        return seen

    def __reduce__(self) -> tuple[Callable[[State], ExposureFilter], tuple[State]]:
        """A copy or a pickle is of one moment, whoever records meanwhile."""
        return type(self).from_state, (self.state(),)

    def _entries(self, users: Tensor) -> Tensor:
        """Entries of the tables: 0, nobody's, for users without one."""
        users_now = self._users  # once: it may grow meanwhile
        return (users + 1).masked_fill_((users < 0) | (users >= users_now), 0)

    def _record(self, users: Tensor, items: Tensor, at: Tensor, repeats: bool) -> None:
        good = self._clock.plausible(at)
        users, items, at = users[good], items[good], at[good]
        if users.shape[0]:
            self._grow(int(users.max()) + 1)
            self._note(users + 1, items, at, repeats)
        self._clock.take(at, len(good))

    def _note(self, entries: Tensor, items: Tensor, at: Tensor, repeats: bool) -> None:
        """All that can fail for lack of memory comes first; then it is written."""
        plan = self._days.plan(entries, at)
        entries, items = entries[plan.live], items[plan.live]
        # What a slot holds already must not use up its capacity again: streams deliver at least once.
        fresh = torch.ones_like(plan.turned)
        for bank in self._banks:
            fresh &= ~bank.contains_in(entries, plan.slot, items)
        fresh |= plan.turned
        pair, item = plan.pair[fresh], items[fresh]
        had = torch.where(plan.turned[fresh], 0, self._days.count.view(-1)[pair])
        size = torch.bucketize(had + rank_in_group(pair), self._full, right=True).clamp_max(len(self._banks) - 1)
        parts = [(pair[size == c], item[size == c]) for c in range(len(self._banks))]
        for bank, (pairs, _) in zip(self._banks, parts, strict=True):
            bank.reserve(pairs)
        self._recent.push(*((entries, items) if repeats else (entries[fresh], item)))
        for bank in self._banks:
            bank.release(plan.emptied)
        self._days.turn(plan, pair)
        for bank, (pairs, inserted) in zip(self._banks, parts, strict=True):
            if len(pairs):
                bank.insert(pairs, inserted)

    def _grow(self, users: int) -> None:
        if users <= self._users:
            return
        entries = max(users, self._users + self._users // 2) + 1
        tables: list[Days | RecentItems | FilterBank] = [self._days, self._recent, *self._banks]
        # All memory first, so that nothing has changed where there isn't enough.
        grown = [table.grown(entries) for table in tables]
        for table, more in zip(tables, grown, strict=True):
            table.take(more)
        # Readers look a user up only below this number, so it moves last.
        self._users = entries - 1


def _check_pairs(users: Tensor, items: Tensor) -> None:
    check_tensor("users", users, dtype=torch.int64, ndim=1, device=torch.device("cpu"))
    check_tensor("items", items, dtype=torch.int64, ndim=1, device=torch.device("cpu"))
    if users.shape != items.shape:
        raise ValueError(f"items: expected {users.shape[0]} entries, one for each user, got {items.shape[0]}")
