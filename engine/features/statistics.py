"""Statistical features: log counts and smoothed rates of an entity over sliding windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from headrace.data.dataset import InteractionLog
from headrace.data.signals import CLICK, COUNTED, POST_CLICK
from headrace.features.arrays import tensor_of
from headrace.features.windows import WindowCounter

#: The windows and the pairs count this many of them; all-time counts of single entities have them all.
LEADING = 3
#: A table of all entities is better than a search while at least one in this many was seen.
_DENSE = 8
#: Rows that stay in a cache while their rates are made.
_CHUNK = 1 << 14


def counted_signals(log: InteractionLog) -> list[str]:
    """The signals of `log` that vary, and so are worth counting."""
    return [name for name in COUNTED if log.gave(name) and not (log.signals[name] == 1).all()]


def event_values(log: InteractionLog, signals: Sequence[str]) -> Tensor:
    """int8 [n, 1 + S]: the impression, then 1 where each signal was given."""
    columns = [np.ones(len(log), np.int8), *((log.signals[name] == 1).astype(np.int8) for name in signals)]
    return tensor_of(np.stack(columns, 1))


class Rates:
    """Smoothed rates of some signals: (count + strength * prior) / (base + strength), as log-odds.

    The prior is the rate over the whole log. The base of what follows a click is the clicks where `per_click`, else the
    impressions, as for the other signals.
    """

    def __init__(self, signals: Sequence[str], priors: Tensor, strength: float, per_click: bool) -> None:
        self.priors = priors
        self._strength = strength
        click = signals.index(CLICK) + 1 if per_click and CLICK in signals else 0
        self._base = torch.tensor([click if name in POST_CLICK else 0 for name in signals], dtype=torch.int64)

    @classmethod
    def fit(cls, values: Tensor, signals: Sequence[str], strength: float, per_click: bool) -> Rates:
        """From the `event_values` of a log."""
        rates = cls(signals, torch.zeros(len(signals), dtype=torch.float32), strength, per_click)
        totals = values.sum(0, dtype=torch.float64)
        rates.priors = (totals[1:] / totals[rates._base].clamp_min(1)).clamp(1e-5, 1 - 1e-5).float()
        return rates

    def features(self, counts: Tensor) -> Tensor:
        """int32 [q, 1 + s] counts of the first s signals -> float32 [q, 1 + s]: log(1 + impressions), the log-odds."""
        return torch.cat([self._features(part) for part in counts.split(_CHUNK)])

    def _features(self, counts: Tensor) -> Tensor:
        # In float64: torch's float32 logarithms of the last rows of a batch may differ in the last bit.
        number = counts.double()
        s = counts.shape[1] - 1
        base = number[:, self._base[:s]]
        rate = (number[:, 1:] + self._strength * self.priors[:s]) / (base + self._strength)
        return torch.cat([number[:, :1].log1p(), rate.clamp(1e-4, 1 - 1e-4).logit()], 1).float()


class RateStatistics:
    """For one kind of entity, over each window: log(1 + impressions) and the log-odds of each smoothed rate.

    windows: ms, or None for all time, which comes first. An entity never seen gets the prior.
    """

    def __init__(self, counter: WindowCounter, windows: Sequence[int | None], rates: Rates) -> None:
        self.counter = counter
        self._windows = windows
        self._rates = rates
        self._final: tuple[Tensor, Tensor] | None = None

    @property
    def width(self) -> int:
        """How many features there are."""
        signals = self.counter.totals.shape[1]
        return signals + (len(self._windows) - 1) * min(signals, 1 + LEADING)

    def features(self, entity: Tensor, time: Tensor) -> Tensor:
        """float32 [q, width] for `entity` (int64 [q], -1 unknown) just before `time` (int64 [q])."""
        counts = self.counter.counts(entity, time, self._windows)
        parts = [self._rates.features(counts[:, 0])]
        parts += [self._rates.features(counts[:, w, : 1 + LEADING]) for w in range(1, len(self._windows))]
        return torch.cat(parts, 1)

    def table(self, end: int) -> tuple[Tensor, Tensor]:
        """All entities that were seen, int64 [m] ascending, after a first -1 for the others, and their `features` at
        the time `end`, float32 [m, width]."""
        seen = torch.cat([torch.tensor([-1]), torch.unique_consecutive(self.counter.keys // self.counter.span)])
        return seen, self.features(seen, torch.full_like(seen, end))

    def final(self, entity: Tensor, end: int) -> Tensor:
        """`features` at the time `end` for every query, from a table that is made once."""
        if self._final is None:
            seen, features = self.table(end)
            if self.counter.entities <= _DENSE * len(seen):
                every = features[:1].repeat(self.counter.entities + 1, 1)
                every[seen + 1] = features
                seen, features = torch.arange(-1, self.counter.entities), every
            self._final = seen, features
        seen, table = self._final
        if len(seen) == self.counter.entities + 1:
            return table.index_select(0, torch.where(entity < self.counter.entities, entity + 1, 0))
        place = torch.searchsorted(seen, entity).clamp_max(len(seen) - 1)
        return table.index_select(0, torch.where(seen.index_select(0, place) == entity, place, 0))
