"""All statistics of a log: of users, items and authors, and of pairs of them, at the clock of the feature store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field, TypeAdapter
from torch import Tensor

from headrace.data.dataset import Dataset
from headrace.features.arrays import tensor_of
from headrace.features.columns import Side
from headrace.features.keys import ItemKeys, Keys
from headrace.features.settings import FeatureSettings
from headrace.features.statistics import LEADING, Rates, RateStatistics, counted_signals, event_values
from headrace.features.windows import DAY_MS, WindowCounter
from headrace.state import State

_PAST = "past_"
_SINGLE_AND_PAIRS = ("user", "item", "author", "user_category", "user_author")


def pair(first: Tensor, second: Tensor, size: int) -> Tensor:
    """int64 [q]: one code for two, -1 where either is unknown."""
    known = (first >= 0) & (second >= 0) & (second < size)
    return torch.where(known, first.long() * size + second.long(), -1)


@dataclass(frozen=True)
class StatisticsMeta:
    """What the statistics are made of.

    signals, past_signals: those counted in the log and in the older history. sizes: of the second half of each pair.
    contexts: those crossed. end: just after the log.
    """

    signals: tuple[str, ...]
    past_signals: tuple[str, ...]
    windows: tuple[Annotated[int, Field(gt=0, lt=1 << 62)], ...]
    smoothing: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    sizes: dict[str, Annotated[int, Field(ge=0, lt=1 << 31)]]
    contexts: tuple[str, ...]
    end: int

    def most(self, entity: str, rows: Mapping[str, int]) -> int | None:
        """Entities of a name that there can be, for `rows` users and items; None where those are not known. Raises
        ValueError for a name that nothing is kept of."""
        crossed = [f"{one}_{name}" for name in self.contexts for one in ("user", "item")]
        pairs = ("user_category", "user_author", *crossed)
        if entity in ("user", "item"):
            return rows.get(f"{entity}s")
        if entity == "author":
            return self.sizes["author"]
        if entity not in pairs:
            raise ValueError(f"groups: expected some of user, item, author, {', '.join(pairs)}, got {entity!r}")
        first, second = entity.split("_", 1)
        count = rows.get(f"{first}s")
        return None if count is None else count * self.sizes[second]


class StatisticsBank:
    """Groups of statistics by name, and on each side the names of its groups.

    Users and items are counted over all windows, authors over the week, pairs over all time. Groups named past_ count
    the older history, once and for all.
    """

    def __init__(
        self, meta: StatisticsMeta, priors: Tensor, past_priors: Tensor, counters: dict[str, WindowCounter]
    ) -> None:
        self.meta = meta
        self._rates = Rates(meta.signals, priors, meta.smoothing, per_click=True)
        self._past_rates = Rates(meta.past_signals, past_priors, meta.smoothing, per_click=False)
        every = (None, *meta.windows)
        week = (None, *(w for w in meta.windows if w == 7 * DAY_MS))
        windows = {"user": every, "item": every, "author": week}
        self._groups = {
            name: RateStatistics(
                counter, windows.get(name, (None,)), self._past_rates if name.startswith(_PAST) else self._rates
            )
            for name, counter in counters.items()
        }
        self.sides: dict[Side, list[str]] = {"request": [], "item": [], "pair": []}
        for name in self._groups:
            self.sides[self._side(name)].append(name)

    def _side(self, name: str) -> Side:
        entity = name.removeprefix(_PAST)
        if entity in ("user", *(f"user_{context}" for context in self.meta.contexts)):
            return "request"
        return "item" if entity in ("item", "author") else "pair"

    @classmethod
    def fit(cls, dataset: Dataset, items: ItemKeys, settings: FeatureSettings) -> StatisticsBank:
        """Counts the log of `dataset`, and its history where it has one. Raises ValueError when the log is empty."""
        log = dataset.log
        keys, past = items.log_keys(log), None if dataset.history is None else items.log_keys(dataset.history)
        start, end = int(log.time[0]), int(log.time[-1]) + 1
        contexts = tuple(name for name in settings.cross_context if name in log.context)
        sizes = {"category": int(items.category.max()) + 1, "author": int(items.author.max()) + 1}
        sizes |= {name: int(keys.context[name].max()) + 1 for name in contexts}
        signals = counted_signals(log)
        values = event_values(log, signals)
        names = list(_SINGLE_AND_PAIRS)
        crossed = [f"{kind}_{name}" for name in contexts for kind in ("user", "item")]
        counters = _counters([*names, *crossed], keys, sizes, tensor_of(log.time), values)
        past_signals: list[str] = []
        past_values = torch.zeros(0, 1, dtype=torch.int8)
        if dataset.history is not None and past is not None:
            past_signals = counted_signals(dataset.history)
            past_values = event_values(dataset.history, past_signals)
            # Known only in order: all of it lies before the log.
            before = torch.full((len(dataset.history),), start - 1)
            old = _counters(names, past, sizes, before, past_values)
            counters |= {f"{_PAST}{name}": counter for name, counter in old.items()}
        windows = tuple(w for w in settings.windows_ms if w < end - start)
        meta = StatisticsMeta(tuple(signals), tuple(past_signals), windows, settings.smoothing, sizes, contexts, end)
        priors = Rates.fit(values, signals, settings.smoothing, per_click=True).priors
        past_priors = Rates.fit(past_values, past_signals, settings.smoothing, per_click=False).priors
        return cls(meta, priors, past_priors, counters)

    def features(self, names: list[str], keys: Keys, time: Tensor, ended: bool) -> Tensor:
        """float32 [q, width]: the features of some groups just before `time` (int64 [q]); ended: all of it is at or
        after the end of the log."""
        # After the log nothing moves any more, and the history never did: one look-up in a table each.
        parts = [
            self.final(name, keys)
            if ended or name.startswith(_PAST)
            else self._groups[name].features(_entity(name, keys, self.meta.sizes), time)
            for name in names
        ]
        return torch.cat(parts, 1)

    def width(self, name: str) -> int:
        """How many features a group has."""
        return self._groups[name].width

    def final(self, name: str, keys: Keys) -> Tensor:
        """float32 [q, width]: the features of one group at the end of the log."""
        return self._groups[name].final(_entity(name.removeprefix(_PAST), keys, self.meta.sizes), self.meta.end)

    @staticmethod
    def halves(name: str) -> tuple[bool, str]:
        """Of a group of pairs: whether the first half is the item rather than the user, and what the second half is."""
        first, second = name.removeprefix(_PAST).split("_", 1)
        return first == "item", second

    def pairs(self, name: str) -> tuple[Tensor, Tensor, Tensor]:
        """The pairs of one group that were seen: their halves, int64 [m] each, by both, and the group's features at the
        end of the log, float32 [m+1, width], after those of any other pair."""
        seen, features = self._groups[name].table(self.meta.end)
        size = self.meta.sizes[self.halves(name)[1]]
        return seen[1:] // size, seen[1:] % size, features

    def state(self) -> State:
        counters = {name: group.counter.state() for name, group in self._groups.items()}
        return State.of(
            meta=TypeAdapter(StatisticsMeta).dump_python(self.meta, mode="json"),
            priors=self._rates.priors,
            past_priors=self._past_rates.priors,
            groups=list(counters),
            counters=State.of(**counters),
        )

    @classmethod
    def from_state(cls, state: State) -> StatisticsBank:
        """Raises ValueError for groups that no statistics are kept of, or counters of other signals or entities."""
        meta = TypeAdapter(StatisticsMeta).validate_python(state["meta"])
        counters = state.under("counters")
        held = {}
        for name in state.fact("groups", list[str]):
            signals = meta.past_signals if name.startswith(_PAST) else meta.signals
            entity = name.removeprefix(_PAST)
            counted = 1 + (len(signals) if entity in ("user", "item", "author") else min(len(signals), LEADING))
            held[name] = counter = WindowCounter.from_state(counters.under(name))
            most = meta.most(entity, state.rows)
            if counter.totals.shape[1] != counted or (most is not None and counter.entities > most):
                got = f"{counter.totals.shape[1]} counts of {counter.entities}"
                raise ValueError(f"counters/{name}: expected {counted} counts of at most {most} entities, got {got}")
        priors = state.tensor("priors", torch.float32, len(meta.signals))
        return cls(meta, priors, state.tensor("past_priors", torch.float32, len(meta.past_signals)), held)


def _counters(
    names: list[str], keys: Keys, sizes: dict[str, int], time: Tensor, values: Tensor
) -> dict[str, WindowCounter]:
    counters = {}
    for name in names:
        entity = _entity(name, keys, sizes)
        if bool((entity >= 0).any()):
            counted = values if name in ("user", "item", "author") else values[:, : 1 + LEADING]
            counters[name] = WindowCounter.build(entity, time, counted, f"statistics of {name}")
    return counters


def _entity(name: str, keys: Keys, sizes: dict[str, int]) -> Tensor:
    if name in ("user", "item", "author"):
        return getattr(keys, name).long()  # type: ignore[no-any-return]
    first, second = name.split("_", 1)
    other = getattr(keys, second) if second in ("category", "author") else keys.context[second]
    return pair(getattr(keys, first), other, sizes[second])
