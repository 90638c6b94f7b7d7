"""All statistics of a log: of users, items and authors, and of pairs of them, at the clock of the feature store."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headrace.data.dataset import Dataset
from headrace.features.arrays import tensor_of
from headrace.features.settings import FeatureSettings
from headrace.features.statistics import RateStatistics, counted_signals, event_values, prior_rates
from headrace.features.windows import DAY_MS, WindowCounter

State = dict[str, Tensor]


@dataclass(frozen=True)
class Keys:
    """The entities of q queries, each int64 [q], -1 unknown. context: name -> int64 [q]."""

    user: Tensor
    item: Tensor
    author: Tensor
    category: Tensor
    context: dict[str, Tensor]


def pair(first: Tensor, second: Tensor, size: int) -> Tensor:
    """int64 [q]: one code for two, -1 where either is unknown."""
    known = (first >= 0) & (second >= 0) & (second < size)
    return torch.where(known, first.long() * size + second.long(), -1)


@dataclass(frozen=True)
class StatisticsMeta:
    """What the statistics are made of; json-able. sizes: of the second half of each pair. end: just after the log."""

    signals: tuple[str, ...]
    windows: tuple[int, ...]
    smoothing: float
    sizes: dict[str, int]
    contexts: tuple[str, ...]
    end: int


class StatisticsBank:
    """Groups of statistics by name. Those of the request need no candidate; the cross ones do.

    Single entities are counted over all windows, authors over the week, pairs over all time.
    """

    def __init__(self, meta: StatisticsMeta, priors: Tensor, counters: dict[str, WindowCounter]) -> None:
        self.meta = meta
        self.priors = priors
        every = (None, *meta.windows)
        week = (None, *(w for w in meta.windows if w == 7 * DAY_MS))
        windows = {"user": every, "item": every, "author": week}
        self._groups = {
            name: RateStatistics(counter, windows.get(name, (None,)), meta.signals, priors, meta.smoothing)
            for name, counter in counters.items()
        }
        on_request = ("user", *(f"user_{name}" for name in meta.contexts))
        self.request_groups = [name for name in self._groups if name in on_request]
        self.cross_groups = [name for name in self._groups if name not in on_request]

    @classmethod
    def fit(cls, dataset: Dataset, keys: Keys, settings: FeatureSettings) -> StatisticsBank:
        """`keys`: those of every row of the log."""
        log = dataset.log
        start, end = int(log.time[0]), int(log.time[-1]) + 1
        sizes = {"category": int(keys.category.max()) + 1, "author": int(keys.author.max()) + 1}
        contexts = tuple(name for name in settings.cross_context if name in log.context)
        sizes |= {name: int(keys.context[name].max()) + 1 for name in contexts}
        signals = counted_signals(log)
        values = event_values(log, signals)
        meta = StatisticsMeta(
            tuple(signals),
            tuple(w for w in settings.windows_ms if w < end - start),
            settings.smoothing,
            sizes,
            contexts,
            end,
        )
        time = tensor_of(log.time)
        names = ["user", "item", "author", "user_category", "user_author"]
        names += [f"{kind}_{name}" for name in contexts for kind in ("user", "item")]
        entities = {name: _entity(name, keys, sizes) for name in names}
        counters = {
            name: WindowCounter.build(entity, time, values)
            for name, entity in entities.items()
            if bool((entity >= 0).any())
        }
        return cls(meta, prior_rates(values, signals), counters)

    def request_features(self, keys: Keys, time: Tensor) -> Tensor:
        """float32 [q, request width] just before `time` (int64 [q]); needs `keys.user` and `keys.context` alone."""
        return self._features(self.request_groups, keys, time)

    def cross_features(self, keys: Keys, time: Tensor) -> Tensor:
        """float32 [q, cross width] just before `time` (int64 [q])."""
        return self._features(self.cross_groups, keys, time)

    def _features(self, names: list[str], keys: Keys, time: Tensor) -> Tensor:
        # After the log nothing moves any more: what depends on the item alone comes from a table.
        ended = bool((time >= self.meta.end).all())
        parts = []
        for name in names:
            group, entity = self._groups[name], _entity(name, keys, self.meta.sizes)
            if ended and name in ("item", "author"):
                parts.append(group.final(entity, self.meta.end))
            else:
                parts.append(group.features(entity, time))
        return torch.cat(parts, 1) if parts else torch.zeros(len(time), 0)

    def state(self) -> State:
        counters = {f"{name}.{k}": v for name, group in self._groups.items() for k, v in group.counter.state().items()}
        return {"priors": self.priors, **counters}

    @classmethod
    def from_state(cls, state: State, meta: StatisticsMeta) -> StatisticsBank:
        names = list(dict.fromkeys(key.split(".")[0] for key in state if "." in key))
        counters = {
            name: WindowCounter.from_state(
                {k.split(".")[1]: v for k, v in state.items() if k.split(".")[0] == name and "." in k}
            )
            for name in names
        }
        return cls(meta, state["priors"], counters)


def _entity(name: str, keys: Keys, sizes: dict[str, int]) -> Tensor:
    if name in ("user", "item", "author"):
        return getattr(keys, name).long()  # type: ignore[no-any-return]
    first, second = name.split("_", 1)
    other = getattr(keys, second) if second in ("category", "author") else keys.context[second]
    return pair(getattr(keys, first), other, sizes[second])
