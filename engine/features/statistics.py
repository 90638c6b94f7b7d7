"""Statistical features: log counts and smoothed rates of an entity over sliding windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from headrace.data.dataset import InteractionLog
from headrace.features.arrays import tensor_of
from headrace.features.windows import WindowCounter

#: Rates of what follows a click are per click; the others are per impression.
POST_CLICK = ("like", "collect", "share", "follow", "comment")
#: The signals that are counted, in the order of the features; the impression comes first.
COUNTED = ("click", "completion", *POST_CLICK)


def counted_signals(log: InteractionLog) -> list[str]:
    """The signals of `log` that vary, and so are worth counting."""
    return [name for name in COUNTED if name in log.signals and 0 < (log.signals[name] == 1).mean() < 1]


def event_values(log: InteractionLog, signals: list[str]) -> Tensor:
    """int8 [n, 1 + S]: the impression, then 1 where each signal was given."""
    columns = [np.ones(len(log), np.int8), *((log.signals[name] == 1).astype(np.int8) for name in signals)]
    return tensor_of(np.stack(columns, 1))


def rate_bases(signals: Sequence[str]) -> Tensor:
    """int64 [S]: the column of `event_values` that each rate is per."""
    click = signals.index("click") + 1 if "click" in signals else 0
    return torch.tensor([click if name in POST_CLICK else 0 for name in signals], dtype=torch.int64)


def prior_rates(values: Tensor, signals: Sequence[str]) -> Tensor:
    """float32 [S]: the rate of each signal over the whole log."""
    totals = values.sum(0, dtype=torch.float64)
    return (totals[1:] / totals[rate_bases(signals)].clamp_min(1)).clamp(1e-5, 1 - 1e-5).float()


class RateStatistics:
    """For one kind of entity, over each window: log(1 + impressions) and the log-odds of each smoothed rate.

    A rate is (count + strength * prior) / (base + strength), the prior being the rate over the whole log, the base
    clicks for what follows a click and impressions otherwise. An entity never seen gets the prior.
    """

    def __init__(
        self,
        counter: WindowCounter,
        windows: Sequence[int | None],
        signals: Sequence[str],
        priors: Tensor,
        strength: float,
    ) -> None:
        self.counter = counter
        self._windows = windows
        self._priors = priors
        self._strength = strength
        self._base = rate_bases(signals)
        self._final: Tensor | None = None

    @property
    def width(self) -> int:
        return len(self._windows) * (1 + len(self._base))

    def features(self, entity: Tensor, time: Tensor) -> Tensor:
        """float32 [q, width] for `entity` (int64 [q], -1 unknown) just before `time` (int64 [q])."""
        counts = self.counter.counts(entity, time, self._windows).float()
        base = counts[:, :, self._base]
        rate = (counts[:, :, 1:] + self._strength * self._priors) / (base + self._strength)
        return torch.cat([counts[:, :, :1].log1p(), rate.clamp(1e-6, 1 - 1e-6).logit()], 2).flatten(1)

    def final(self, entity: Tensor, end: int) -> Tensor:
        """`features` at the time `end` for every query, from a table of all entities that is made once."""
        if self._final is None:
            every = torch.arange(-1, self.counter.entities)
            self._final = self.features(every, torch.full_like(every, end))
        known = torch.where(entity < self.counter.entities, entity, -1)
        return self._final[known + 1]
