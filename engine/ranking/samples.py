"""What the ranking models are taught with: a log's rows, and unshown items drawn anew each epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.data.dataset import InteractionLog
from headrace.features import FeatureStore, TrainingSet
from headrace.ranking.negatives import Unshown, as_shown
from headrace.ranking.targets import Labels, taught, told_by_draws
from headrace.training.split import Split, split_of


class Samples:
    """The rows of a log with their features, made once for all models, and how unshown items are drawn beside them.

    log: with impression 1 where it is not recorded. rows: its features. split: which of its rows are kept back from
    training to watch it; None where they are too few.
    """

    def __init__(self, store: FeatureStore, log: InteractionLog, unshown: Unshown, split: Split | None = None) -> None:
        self.log = as_shown(log) if unshown.share else log
        self.rows = TrainingSet(store, self.log)
        self.unshown = unshown
        self.split = split
        held = np.zeros(len(log), np.bool_) if split is None else split.held
        self.trained, self.held = np.flatnonzero(~held), np.flatnonzero(held)

    @classmethod
    def of(
        cls, store: FeatureStore, log: InteractionLog, unshown: Unshown, share: float, ordered: bool = True
    ) -> Samples:
        """share: of the rows that are kept back."""
        return cls(store, log, unshown, split_of(log.time, share, unshown.seed))

    @property
    def names(self) -> tuple[str, ...]:
        """The targets that are taught."""
        return taught(self.log, drawn=self.unshown.share > 0)

    @property
    def drawn(self) -> tuple[str, ...]:
        """Those that a drawn item is a negative of."""
        return told_by_draws(self.log) if self.unshown.share else ()


@dataclass(frozen=True)
class Batch:
    """Columns, and the labels of the same rows: value, known as `Labels` has them."""

    columns: dict[str, Tensor]
    value: Tensor
    known: Tensor


class Epoch:
    """Some rows of the samples, then the unshown items drawn beside them, as the numbers 0 to len - 1.

    used: rows of the log (int64 [n]). labels: of all rows of the log. number: of the epoch, which decides the draws.
    """

    def __init__(self, samples: Samples, labels: Labels, used: NDArray[np.int64], share: float, number: int) -> None:
        self._rows, self._labels, self._used = samples.rows, labels, torch.from_numpy(used)
        unshown = Unshown(share, samples.unshown.items, samples.unshown.seed)
        source, item = unshown.draw(used, number) if share else (used[:0], used[:0])
        self._drawn = samples.rows.with_items(torch.from_numpy(source), torch.from_numpy(item))
        self._negative = torch.tensor([[name in samples.drawn for name in labels.names]], dtype=torch.float32)

    def __len__(self) -> int:
        return len(self._used) + len(self._drawn)

    def batch(self, index: Tensor) -> Batch:
        """The rows at `index` (int64 [b]), those of the log first."""
        logged = index < len(self._used)
        own, drawn = self._used[index[logged]], index[~logged] - len(self._used)
        columns = self._rows.columns(own)
        value, known = self._labels.value[own], self._labels.known[own]
        if len(drawn):
            more = self._drawn.columns(drawn)
            columns = {name: torch.cat([column, more[name]]) for name, column in columns.items()}
            negative = self._negative.expand(len(drawn), -1)
            value, known = torch.cat([value, torch.zeros_like(negative)]), torch.cat([known, negative])
        return Batch(columns, value, known)
