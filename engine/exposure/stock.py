"""What the catalogue says of its items that decides whether they may be shown, whoever asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from headrace.channels.shared.popularity import popularity
from headrace.channels.shared.publishing import publish_times
from headrace.channels.shared.rounding import rounded
from headrace.data import UNKNOWN, Dataset
from headrace.exposure.kinds import KINDS, Kind, kinds_of
from headrace.jagged import gather_rows, segment_of
from headrace.state import State

DAY_MS = 86_400_000
#: A click counts half after so many days in the order of last resort.
_HALF_LIFE_DAYS = 7.0
#: After every request.
_NEVER = 1 << 62
#: How long items are recalled where the log shows so large a share of such young ones (a month, as feeds do).
_MONTH_DAYS, _YOUNG = 30, 0.99


@dataclass(frozen=True, eq=False)
class Stock:
    """The catalogue's items, N of them.

    order: int64 [N], the order of last resort: by decayed clicks, those without any newest first, ties to the lower.
    published: int64 [N], ms since the epoch, -1 unknown. recall_ms: how long after that an item is recalled, 0: for
    ever. One of unknown age is never too old. as_of: ms, the moment that it describes: a later request finds items as
    old as they were then, or a stock that nobody renews would run empty. kinds: what else a request may block, by name.
    """

    order: Tensor
    published: Tensor
    recall_ms: int = 0
    kinds: dict[str, Kind] = field(default_factory=dict)
    as_of: int = _NEVER
    #: `published`, later than anything where unknown.
    _known: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        later = self.published.masked_fill(self.published == UNKNOWN, torch.iinfo(torch.int64).max)
        object.__setattr__(self, "_known", later)

    @classmethod
    def of(cls, dataset: Dataset, recall_days: int | None = None) -> Stock:
        """recall_days: how long after its publish time an item is recalled, 0: for ever; `default_days` where None."""
        catalogue, log = dataset.catalogue, dataset.log
        clicks = rounded(popularity([log], len(catalogue), _HALF_LIFE_DAYS))
        order = np.lexsort((-publish_times(catalogue, [log]), -clicks))
        days = default_days(dataset) if recall_days is None else recall_days
        published = np.full(len(catalogue), UNKNOWN) if catalogue.publish_time is None else catalogue.publish_time
        return cls(
            torch.from_numpy(order),
            torch.tensor(published, dtype=torch.int64),
            days * DAY_MS,
            kinds_of(catalogue),
            int(log.time[-1]) + 1 if len(log) else _NEVER,
        )

    @classmethod
    def bare(cls, items: int) -> Stock:
        """Of a catalogue of which nothing is known."""
        return cls(torch.arange(items), torch.full((items,), UNKNOWN))

    def __len__(self) -> int:
        return len(self.order)

    def old(self, time: Tensor, offsets: Tensor, item: Tensor) -> Tensor:
        """bool [n]: whether item[i] (int64 [n]) is too old to be recalled at time[l] (int64 [L]), for i in
        offsets[l]:offsets[l+1]."""
        if not len(item):
            return torch.zeros(0, dtype=torch.bool)
        oldest = time.clamp_max(self.as_of) - self.recall_ms
        first, last = (int(end) for end in oldest.aminmax())
        if first != last:
            return self._known.index_select(0, item) < oldest.repeat_interleave(offsets.diff())
        # Requests that come together are of one time: then each item is asked once, where that is less.
        if len(self) <= len(item):
            return (self._known < first).index_select(0, item)
        return self._known.index_select(0, item) < first

    def codes_of(self, kind: str, item: Tensor) -> tuple[Tensor, Tensor, int]:
        """(pair int64 [m], code int64 [m], a number above all codes): code[j] is one of item[pair[j]]'s."""
        if kind == "item":
            return torch.arange(len(item)), item, len(self)
        held = self.kinds[kind]
        entries, offsets = gather_rows(held.offsets, item)
        return segment_of(offsets), held.code.index_select(0, entries).long(), held.span

    def state(self) -> State:
        kinds = State.of(**{name: kind.state() for name, kind in self.kinds.items()})
        facts = {"recall_ms": self.recall_ms, "as_of": self.as_of}
        return State.of(order=self.order, published=self.published, kinds=kinds, **facts)

    @classmethod
    def from_state(cls, state: State) -> Stock:
        kinds = {name: Kind.from_state(state.under(f"kinds/{name}")) for name in KINDS if f"kinds/{name}/code" in state}
        order = state.tensor("order", torch.int64, "items", least=0, below="items", distinct=True)
        published = state.tensor("published", torch.int64, len(order))
        recall_ms = state.fact("recall_ms", Annotated[int, Field(ge=0, lt=1 << 60)])
        # Snapshots of before it was kept let items age.
        as_of = state.fact("as_of", Annotated[int, Field(gt=-(1 << 62), le=_NEVER)]) if "as_of" in state else _NEVER
        return cls(order, published, recall_ms, kinds, as_of)


def default_days(dataset: Dataset) -> int:
    """30 where 99 % of the log's rows are of items published at most 30 days before, else 0.

    So a log without publish times has no limit, nor has one that shows old items: there age says little.
    """
    published = dataset.catalogue.publish_time
    if published is None or not len(dataset.log):
        return 0
    known = published[dataset.log.item]
    young = (known != UNKNOWN) & (dataset.log.time - known <= _MONTH_DAYS * DAY_MS)
    return _MONTH_DAYS if young.mean() >= _YOUNG else 0
