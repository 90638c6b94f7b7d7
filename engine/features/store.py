"""The feature store: fitted on a training log, then the one place where training and serving get their features."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from headrace.data.dataset import Dataset, InteractionLog
from headrace.features.arrays import tensor_of
from headrace.features.columns import Column, Columns
from headrace.features.family import FAMILIES, Asked, Family, Made, Scale
from headrace.features.settings import FeatureSettings
from headrace.state import State
from headrace.types import Requests

_SAMPLE = 200_000
_Whole = Annotated[int, Field(gt=-(1 << 62), lt=1 << 62)]

F = TypeVar("F", bound=Family)


class FeatureStore:
    """Named columns of requests, items and pairs of them, as they were known at a moment.

    Statistics and behaviours are those of the last refresh at or before the moment, and after the end of the log those
    of its end; nothing at or after that refresh counts. `fit` reads a training log; afterwards the log is not needed.

    families: name -> what makes the columns. items: how many the catalogue has. start, end: of the log, ms, the end
    just after it. columns: all columns, on the sides they have once the log has ended; `live_columns`: those of a
    request within the log, where the items' moving columns are pairs' too.
    """

    def __init__(
        self, families: dict[str, Family], scales: dict[str, Scale], items: int, start: int, end: int, refresh_ms: int
    ) -> None:
        self.families = families
        self.items = items
        self.start = start
        self.end = end
        self.refresh_ms = refresh_ms
        self.columns = Columns([column for family in families.values() for column in family.columns])
        moving = {name for family in families.values() for name in family.moving}
        self.live_columns = Columns(
            [Column(c.name, "pair", c.kind, c.size, c.of) if c.name in moving else c for c in self.columns]
        )
        self._scales: dict[str, Scale] = {}
        self._take(scales)

    @classmethod
    def fit(
        cls, dataset: Dataset, settings: FeatureSettings | None = None, earlier: FeatureStore | None = None
    ) -> FeatureStore:
        """Learns tables, counters and scales from `dataset`. earlier: the store of models that training starts from.

        Raises ValueError when the log is empty.
        """
        settings = settings or FeatureSettings()
        log = dataset.log
        if len(log) == 0:
            raise ValueError("dataset: expected at least 1 row in the log, got 0")
        start, end = int(log.time[0]), int(log.time[-1]) + 1
        before = earlier.families if earlier else {}
        fitted = {name: made.fit(dataset, settings, before.get(name)) for name, made in FAMILIES.items()}
        families = {name: family for name, family in fitted.items() if family is not None}
        refresh = min(settings.refresh_ms, (end - start) // 16)
        store = cls(families, {}, len(dataset.catalogue), start, end, refresh)
        sample = log.take(slice(None, None, max(len(log) // _SAMPLE, 1)))
        made = store.costly_columns(requests_of(sample), tensor_of(sample.item).long())
        standardised = [name for family in families.values() for name in family.standardised if name in made]
        store._take({name: Scale.fit(made[name]) for name in standardised})
        return store

    def _take(self, scales: dict[str, Scale]) -> None:
        self._scales = scales
        for family in self.families.values():
            own = {name: scales[name] for name in family.standardised if name in scales}
            if own:
                family.scale(own)

    def family(self, kind: type[F]) -> F | None:
        """The family of a class; None where the log has nothing of it."""
        found = self.families.get(kind.name)
        return found if isinstance(found, kind) else None

    def ended(self, requests: Requests) -> Tensor:
        """bool [B]: which requests are at or after the end of the log, where nothing moves any more."""
        return requests.time >= self.end

    def as_of(self, time: Tensor) -> Tensor:
        """int64: the moment whose knowledge serves a request at `time` (int64, ms)."""
        refresh, start = self.refresh_ms, self.start
        last = time if refresh == 0 else start + torch.div(time - start, refresh, rounding_mode="floor") * refresh
        return torch.where(time >= self.end, self.end, last)

    def request_columns(self, requests: Requests) -> Made:
        """The request side: name -> a row for each of the B requests."""
        asked = self._asked(requests)
        return _joined(family.request(asked) for family in self.families.values())

    def item_columns(self, item: Tensor) -> Made:
        """The item side as the log ends: name -> a row for each of `item` (int64 [n])."""
        return _joined({**family.item(item), **family.moved(item, None)} for family in self.families.values())

    def pair_columns(self, requests: Requests, made: Made, offsets: Tensor, item: Tensor, *, live: bool) -> Made:
        """The pair side of candidates `item` (int64 [n]); request b owns offsets[b]:offsets[b+1].

        made: the `request_columns` of the same requests. live: as `live_columns` have it, with the items' moving
        columns; else every request must be at or after the end of the log.
        """
        asked = self._asked(requests)
        pairs = _joined(family.pair(asked, made, offsets, item) for family in self.families.values())
        return {**pairs, **self._moved(item, asked.each(offsets))} if live else pairs

    def row_columns(self, requests: Requests, item: Tensor) -> Made:
        """All columns of requests with one candidate each, a row for each of them, each as of its own moment."""
        return {**self.cheap_columns(requests, item), **self.costly_columns(requests, item)}

    def costly_columns(self, requests: Requests, item: Tensor) -> Made:
        """Of `row_columns` those that are better made once for all rows than batch by batch."""
        asked = self._asked(requests)
        made = _joined(family.request(asked) for family in self.families.values())
        costly = [family for family in self.families.values() if family.costly]
        pairs = _joined(family.pair(asked, made, None, item) for family in costly)
        own = {column.name for family in costly for column in family.columns}
        return {**{n: c for n, c in made.items() if n in own}, **self._moved(item, asked), **pairs}

    def cheap_columns(self, requests: Requests, item: Tensor) -> Made:
        """The rest of `row_columns`."""
        asked = self._asked(requests)
        cheap = [family for family in self.families.values() if not family.costly]
        made = _joined(family.request(asked) for family in cheap)
        still = _joined(family.item(item) for family in self.families.values())
        pairs = _joined(family.pair(asked, made, None, item) for family in cheap)
        return {**made, **still, **pairs}

    def _moved(self, item: Tensor, asked: Asked) -> Made:
        return _joined(family.moved(item, asked) for family in self.families.values())

    def _asked(self, requests: Requests) -> Asked:
        clock = requests.time.clamp_max(self.end)
        return Asked(requests, self.as_of(requests.time), bool(self.ended(requests).all()), clock)

    def item_code(self, name: str, item: Tensor) -> Tensor:
        """int32 [n]: one code of `item` (int64 [n]), 0 where there is no such column."""
        for family in self.families.values():
            if any(column.name == name for column in family.columns):
                return family.item(item)[name]
        return torch.zeros(len(item), dtype=torch.int32)

    def state(self) -> State:
        return State.of(
            names=list(self.families),
            families=State.of(**{name: family.state() for name, family in self.families.items()}),
            scales=State.of(**{name: scale.state() for name, scale in self._scales.items()}),
            scaled=list(self._scales),
            items=self.items,
            start=self.start,
            end=self.end,
            refresh_ms=self.refresh_ms,
        )

    @classmethod
    def from_state(cls, state: State) -> FeatureStore:
        """Raises KeyError for a family that is not known here, ValueError for parts that do not fit each other."""
        families = state.under("families")
        scales = state.under("scales")
        store = cls(
            {name: FAMILIES[name].from_state(families.under(name)) for name in state.fact("names", list[str])},
            {name: Scale.from_state(scales.under(name)) for name in state.fact("scaled", list[str])},
            *(state.fact(name, _Whole) for name in ("items", "start", "end", "refresh_ms")),
        )
        if store.items != state.rows.get("items", store.items):
            raise ValueError(f"items: expected {state.rows['items']}, got {store.items}")
        store._check()
        return store

    def _check(self) -> None:
        """Raises ValueError for scales of other widths than the columns', and for columns that name one not there."""
        for name, scale in self._scales.items():
            if len(scale.mean) != self.columns[name].size:
                raise ValueError(f"scales/{name}: expected {self.columns[name].size} columns, got {len(scale.mean)}")
        content = self.families.get("content")
        for of in (*(column.of for column in self.columns), getattr(content, "recent", None)):
            if of is not None:
                self.columns[of]


def requests_of(log: InteractionLog) -> Requests:
    """Each row of the log as a request."""
    context = {name: tensor_of(codes).long() for name, codes in log.context.items()}
    return Requests(tensor_of(log.user).long(), tensor_of(log.time), context)


def _joined(parts: Iterable[Made]) -> Made:
    return {name: column for part in parts for name, column in part.items()}
