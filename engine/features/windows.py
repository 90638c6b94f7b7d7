"""Point-in-time counts: what happened to an entity in the last month, week, day or hour before a given moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from headrace.state import State

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
#: The windows of the field: 30 days, 7 days, 1 day, 1 hour.
WINDOWS_MS = (30 * DAY_MS, 7 * DAY_MS, DAY_MS, HOUR_MS)
#: Differences of two are no larger than an int64.
_Time = Annotated[int, Field(gt=-(1 << 62), lt=1 << 62)]
#: From here on, sorting the queries first costs less than the cache misses of searching at random.
_SORT_QUERIES_FROM = 1 << 15


class WindowCounter:
    """Counts of events by entity and time, held as sorted keys and running sums.

    An event at time e falls in the window of w ms before t when t - w <= e < t: never the moment itself, never later.
    Building costs O(n log n), a query O(log n) for each bound.
    """

    def __init__(self, keys: Tensor, totals: Tensor, origin: int, span: int, entities: int) -> None:
        self.keys = keys
        self.totals = totals
        self.origin = origin
        self.span = span
        self.entities = entities

    @classmethod
    def build(cls, entity: Tensor, time: Tensor, values: Tensor, name: str = "entity") -> WindowCounter:
        """Counts `values` (integer [n, S], 0 where an event lacks the signal) by `entity` (int64 [n], -1 left out).

        time: int64 [n], milliseconds, in any order. name: of the entities, for errors. Raises ValueError on unequal
        lengths, or when entities times the span of the log in ms does not fit in 63 bits.
        """
        if not entity.shape[0] == time.shape[0] == values.shape[0]:
            shapes = f"{entity.shape[0]}, {time.shape[0]} and {values.shape[0]}"
            raise ValueError(f"entity, time, values: expected equal lengths, got {shapes}")
        known = entity >= 0
        if not bool(known.all()):
            entity, time, values = entity[known], time[known], values[known]
        if entity.shape[0] == 0:
            empty = torch.zeros(1, values.shape[1], dtype=torch.int32)
            return cls(torch.zeros(0, dtype=torch.int64), empty, 0, 1, 0)
        entity, time = entity.long(), time.long()
        origin, entities = int(time.min()), int(entity.max()) + 1
        span = int(time.max()) - origin + 2
        if entities * span >= 1 << 63:
            most, days = (1 << 63) // span, span // DAY_MS
            raise ValueError(f"{name}: expected fewer than {most} rows or codes over {days} days, got {entities}")
        keys = (entity * span + (time - origin)).numpy()
        order = np.argsort(keys)
        totals = torch.zeros(len(keys) + 1, values.shape[1], dtype=torch.int32)
        torch.cumsum(values[torch.from_numpy(order)].int(), 0, out=totals[1:])
        return cls(torch.from_numpy(keys[order]), totals, origin, span, entities)

    def counts(self, entity: Tensor, time: Tensor, windows: Sequence[int | None]) -> Tensor:
        """int32 [q, W, S]: the sums over each window (ms; None: all there was) before `time` (int64 [q]).

        entity: int64 [q]; an unknown one (-1, or never seen) counts zero.
        """
        entity, time = entity.long(), time.long()
        if len(entity) >= _SORT_QUERIES_FROM:
            order = torch.from_numpy(np.argsort(self._key(entity, time).numpy()))
            out = torch.empty(len(entity), len(windows), self.totals.shape[1], dtype=torch.int32)
            out[order] = self._counts(entity[order], time[order], windows)
            return out
        return self._counts(entity, time, windows)

    def before(self, entity: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Where each entity's events before `time` end in sorted order, int64 [q], and how many they are, int64 [q]."""
        end = torch.searchsorted(self.keys, self._key(entity.long(), time.long()))
        start = torch.searchsorted(self.keys, self._key(entity.long(), torch.full_like(time.long(), self.origin)))
        return end, end - start

    def _counts(self, entity: Tensor, time: Tensor, windows: Sequence[int | None]) -> Tensor:
        until = self.totals[torch.searchsorted(self.keys, self._key(entity, time))]
        parts = []
        for window in windows:
            since = torch.full_like(time, self.origin) if window is None else time - window
            parts.append(until - self.totals[torch.searchsorted(self.keys, self._key(entity, since))])
        return torch.stack(parts, 1)

    def _key(self, entity: Tensor, time: Tensor) -> Tensor:
        """Unknown entities get the key -1 at any time, so that both ends of every window meet."""
        key = entity * self.span + (time - self.origin).clamp(0, self.span - 1)
        return torch.where((entity >= 0) & (entity < self.entities), key, -1)

    def state(self) -> State:
        return State.of(keys=self.keys, totals=self.totals, origin=self.origin, span=self.span, entities=self.entities)

    @classmethod
    def from_state(cls, state: State) -> WindowCounter:
        """Raises ValueError unless the keys are in order and of these entities, and no count falls."""
        keys = state.tensor("keys", torch.int64, None, least=0)
        totals = state.tensor("totals", torch.int32, len(keys) + 1, None, least=0)
        origin, span, entities = (state.fact(name, _Time) for name in ("origin", "span", "entities"))
        last = int(keys[-1]) // span + 1 if len(keys) and span > 0 else 0
        if span < 1 or entities != last or bool((keys[1:] < keys[:-1]).any()):
            raise ValueError(f"keys: expected those of {entities} entities over {span} ms in order, got others")
        if totals.shape[1] < 1 or bool(totals[0].any()) or bool((totals[1:] < totals[:-1]).any()):
            raise ValueError("totals: expected sums that begin at 0 and do not fall, got others")
        return cls(keys, totals, origin, span, entities)
