"""The feature store: fitted on a training log, then the one place where training and serving get their features."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor

from headrace.data.dataset import Dataset
from headrace.features import fields
from headrace.features.arrays import tensor_of
from headrace.features.bank import StatisticsBank, StatisticsMeta
from headrace.features.behaviours import Behaviours
from headrace.features.fields import FeatureSpec, Field, shifted
from headrace.features.frozen import Frozen
from headrace.features.inputs import CrossInputs, Inputs, ItemInputs, RequestInputs
from headrace.features.settings import FeatureSettings
from headrace.features.tables import ItemTable, Keys, UserTable
from headrace.features.taste import closeness
from headrace.features.windows import HOUR_MS
from headrace.jagged import segment_of
from headrace.types import Requests

#: Contexts that are read from the clock instead: they never go missing at serving.
CLOCK = ("hour", "weekday")
_SAMPLE = 200_000


@dataclass(frozen=True)
class StoreMeta:
    """The json-able half of a store's state."""

    spec: FeatureSpec
    statistics: StatisticsMeta
    contexts: tuple[tuple[str, int], ...]
    start: int
    end: int
    refresh_ms: int
    utc_offset_ms: int


class FeatureStore:
    """Features of requests and candidates as they were known at a moment.

    Statistics and behaviours are those of the last refresh at or before the moment, and after the end of the log those
    of its end; nothing at or after that refresh counts. `fit` reads a training log; afterwards the log is not needed.
    """

    def __init__(
        self,
        meta: StoreMeta,
        users: UserTable,
        items: ItemTable,
        behaviours: Behaviours,
        bank: StatisticsBank,
        scaling: dict[str, Tensor],
    ) -> None:
        self.meta = meta
        self.users = users
        self.items = items
        self._behaviours = behaviours
        self.bank = bank
        self._scaling = scaling
        self._lock = threading.Lock()
        self._frozen: Frozen | None = None

    @property
    def spec(self) -> FeatureSpec:
        return self.meta.spec

    @classmethod
    def fit(cls, dataset: Dataset, settings: FeatureSettings | None = None) -> FeatureStore:
        """Learns tables, counters and scales from `dataset`. Raises ValueError when its log is empty."""
        settings = settings or FeatureSettings()
        log = dataset.log
        if len(log) == 0:
            raise ValueError("dataset: expected at least 1 row in the log, got 0")
        start, end = int(log.time[0]), int(log.time[-1]) + 1
        users, items = UserTable.fit(dataset.users), ItemTable.fit(dataset.catalogue, settings.content_dim)
        contexts = tuple((name, int(log.context[name].max()) + 2) for name in log.context if name not in CLOCK)
        context = {name: tensor_of(log.context[name]).long() for name in log.context}
        user, item = tensor_of(log.user).long(), tensor_of(log.item).long()
        bank = StatisticsBank.fit(dataset, items, settings)
        spec = FeatureSpec(
            user=(
                Field("user", len(dataset.users) + 1),
                *users.fields,
                *(Field(name, size) for name, size in contexts),
                Field("hour", 25),
                Field("weekday", 8),
            ),
            item=items.fields,
            cross=(Field("age", fields.AGE_BUCKETS),),
            request_width=0,
            cross_width=0,
            content_width=items.content.shape[1] if items.content is not None else 0,
            behaviours=settings.behaviours,
        )
        refresh = min(settings.refresh_ms, (end - start) // 16)
        meta = StoreMeta(spec, bank.meta, contexts, start, end, refresh, _utc_offset(dataset))
        store = cls(meta, users, items, Behaviours.fit(dataset), bank, {})
        store._fit_scales(Requests(user, tensor_of(log.time), context), item)
        return store

    def _fit_scales(self, requests: Requests, item: Tensor) -> None:
        sample = torch.arange(0, len(item), max(len(item) // _SAMPLE, 1))
        context = {name: codes[sample] for name, codes in requests.context.items()}
        some = Requests(requests.user[sample], requests.time[sample], context)
        raw = {
            "request": self.bank.request_features(self.keys(some), self.as_of(some.time)),
            "cross": self._raw_cross(some, None, item[sample]),
        }
        for side, values in raw.items():
            # A statistic that never varied in training says nothing: its scale makes it zero wherever it stays put.
            self._scaling[f"{side}.mean"] = values.mean(0)
            self._scaling[f"{side}.scale"] = 1 / values.std(0, correction=0).clamp_min(1e-3)
        spec = replace(self.spec, request_width=raw["request"].shape[1], cross_width=raw["cross"].shape[1])
        self.meta = replace(self.meta, spec=spec)

    def as_of(self, time: Tensor) -> Tensor:
        """int64: the moment whose knowledge serves a request at `time` (int64, ms)."""
        refresh, start, end = self.meta.refresh_ms, self.meta.start, self.meta.end
        last = time if refresh == 0 else start + torch.div(time - start, refresh, rounding_mode="floor") * refresh
        return torch.where(time >= end, end, last)

    def request_inputs(self, requests: Requests) -> RequestInputs:
        """The request side of `requests`."""
        return RequestInputs(self.request_codes(requests), self.behaviour(requests), self.request_statistics(requests))

    def request_codes(self, requests: Requests) -> Tensor:
        """int32 [B, user fields]."""
        local = requests.time + self.meta.utc_offset_ms
        unknown = torch.full_like(requests.time, -1)
        columns = [shifted(requests.context.get(name, unknown), size) for name, size in self.meta.contexts]
        columns += [fields.hour_of(local), fields.weekday_of(local)]
        return torch.cat([self.users.codes(requests.user), torch.stack(columns, 1)], 1)

    def behaviour(self, requests: Requests) -> Tensor:
        """int32 [B, N]: LastN, item rows + 1."""
        if self.ended(requests.time):
            return self._behaviours.final(requests.user, self.spec.behaviours)
        return self._behaviours.last(requests.user, self.as_of(requests.time), self.spec.behaviours)

    def ended(self, time: Tensor) -> bool:
        """Whether all of `time` (int64, ms) is at or after the end of the log, where nothing moves any more."""
        return len(time) == 0 or int(time.min()) >= self.meta.end

    def request_statistics(self, requests: Requests) -> Tensor:
        """float32 [B, request_width], standardised."""
        raw = self.bank.request_features(self.keys(requests), self.as_of(requests.time))
        return self._standardised(raw, "request")

    def item_inputs(self, item: Tensor) -> ItemInputs:
        """The static side of items (int64 [n] rows)."""
        return self.items.inputs(item)

    def cross_inputs(self, requests: Requests, request: Tensor | None, item: Tensor) -> CrossInputs:
        """What depends on both: `request` (int64 [n]) owns each `item` (int64 [n]); None: one item each."""
        time = requests.time if request is None else requests.time.index_select(0, request)
        return CrossInputs(self.cross_codes(time, item), self.cross_statistics(requests, request, item))

    def cross_codes(self, time: Tensor, item: Tensor) -> Tensor:
        """int32 [n, cross fields]."""
        return fields.age_bucket(self.items.publish_time.index_select(0, item), time)[:, None]

    def cross_statistics(self, requests: Requests, request: Tensor | None, item: Tensor) -> Tensor:
        """float32 [n, cross_width], standardised; arguments as for `cross_inputs`."""
        return self._standardised(self._raw_cross(requests, request, item), "cross")

    def _raw_cross(self, requests: Requests, request: Tensor | None, item: Tensor) -> Tensor:
        each = requests if request is None else self.take(requests, request)
        counted = self.bank.cross_features(self.keys(each, item), self.as_of(each.time))
        close = self.closeness(requests, request, item)
        return torch.cat([counted, *close], 1) if close else counted

    def closeness(self, requests: Requests, request: Tensor | None, item: Tensor) -> list[Tensor]:
        """[float32 [n, 2]], raw: `taste.closeness` of each item to its request's behaviour; [] without content."""
        content = self.items.content
        return [] if content is None else [closeness(content, self.behaviour(requests), request, item)]

    def inputs(self, requests: Requests, offsets: Tensor | None, item: Tensor) -> Inputs:
        """All features of the candidates `item` (int64 [n]); request b owns offsets[b]:offsets[b+1]."""
        request = None if offsets is None else segment_of(offsets)
        return Inputs(
            self.request_inputs(requests),
            self.item_inputs(item),
            self.cross_inputs(requests, request, item),
            offsets,
        )

    def frozen(self) -> Frozen:
        """What serves every request at or after the end of the log. Made once; safe from many threads."""
        with self._lock:
            if self._frozen is None:
                self._frozen = Frozen(self)
            return self._frozen

    @staticmethod
    def take(requests: Requests, index: Tensor) -> Requests:
        """The requests at `index` (int64 [n])."""
        context = {name: codes.index_select(0, index) for name, codes in requests.context.items()}
        return Requests(requests.user.index_select(0, index), requests.time.index_select(0, index), context)

    def keys(self, requests: Requests, item: Tensor | None = None) -> Keys:
        """What the statistics of `requests`, each with its `item` where given, are kept of."""
        unknown = torch.full_like(requests.user, -1)
        crossed = {name: requests.context.get(name, unknown) for name in self.bank.meta.contexts}
        if item is None:
            return Keys(requests.user, unknown, unknown, unknown, crossed)
        return self.items.keys(requests.user, item, crossed)

    def standardise_cross(self, raw: Tensor, columns: Tensor) -> Tensor:
        """Raw cross statistics of `columns` alone (float32 [n, c]), standardised in place."""
        mean, scale = self.scales("cross", columns)
        return raw.sub_(mean).mul_(scale).clamp_(-10, 10)

    def scales(self, side: str, columns: Tensor) -> tuple[Tensor, Tensor]:
        """The mean, and one over the deviation, of some statistics of the side "request" or "cross": float32 [c]."""
        return self._scaling[f"{side}.mean"][columns], self._scaling[f"{side}.scale"][columns]

    def _standardised(self, raw: Tensor, side: str) -> Tensor:
        return raw.sub_(self._scaling[f"{side}.mean"]).mul_(self._scaling[f"{side}.scale"]).clamp_(-10, 10)

    def state(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Tensors and json-able settings: all that `from_state` needs."""
        parts = {
            "users": self.users.state(),
            "items": self.items.state(),
            "behaviours": self._behaviours.state(),
            "bank": self.bank.state(),
            "scaling": self._scaling,
        }
        tensors = {f"{part}/{name}": tensor for part, state in parts.items() for name, tensor in state.items()}
        return tensors, TypeAdapter(StoreMeta).dump_python(self.meta, mode="json")

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor], meta: dict[str, object]) -> FeatureStore:
        read = TypeAdapter(StoreMeta).validate_python(meta)

        def part(name: str) -> dict[str, Tensor]:
            return {k.removeprefix(f"{name}/"): v for k, v in tensors.items() if k.startswith(f"{name}/")}

        return cls(
            read,
            UserTable.from_state(part("users")),
            ItemTable.from_state(part("items"), read.spec.item),
            Behaviours.from_state(part("behaviours")),
            StatisticsBank.from_state(part("bank"), read.statistics),
            part("scaling"),
        )


def _utc_offset(dataset: Dataset) -> int:
    """The offset of the log's own hour from UTC in ms, as most of its rows have it; 0 where it has none."""
    log = dataset.log
    if "hour" not in log.context:
        return 0
    known = log.context["hour"] >= 0
    hours = (log.context["hour"][known] - log.time[known] // HOUR_MS) % 24
    if len(hours) == 0:
        return 0
    offset = int(np.bincount(hours).argmax())
    return (offset if offset <= 12 else offset - 24) * HOUR_MS
