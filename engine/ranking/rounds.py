"""One pass after another over the samples of a ranker, and what the samples that are kept back say of it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from headrace.data.signals import CLICK
from headrace.ranking.samples import Batch, Epoch
from headrace.training.loop import LOSS, Validated

_BATCH = 8192
#: batch -> its loss, and the logits it is of.
LossOf = Callable[[Batch], tuple[Tensor, Tensor]]


class Rounds:
    """The loss of rows of an epoch that `begin` draws anew. draw: the number of an epoch -> its rows."""

    def __init__(self, draw: Callable[[int], Epoch], loss_of: LossOf) -> None:
        self._draw, self._loss_of = draw, loss_of
        self._epoch: Epoch | None = None

    def begin(self, number: int) -> None:
        # the old draws' memory is free before the new ones are made
        self._epoch = None
        self._epoch = self._draw(number)

    def loss(self, index: Tensor) -> Tensor:
        assert self._epoch is not None
        return self._loss_of(self._epoch.batch(index))[0]


class Validation:
    """The loss of some rows, and the AUC of their clicks where those are a target. targets: of the logits, in order."""

    def __init__(self, rows: Epoch, loss_of: LossOf, targets: tuple[str, ...]) -> None:
        self._rows, self._loss_of = rows, loss_of
        self._click = targets.index(CLICK) if CLICK in targets else None

    def __call__(self) -> Validated:
        total, clicks, scores = 0.0, [], []
        for index in torch.arange(len(self._rows)).split(_BATCH):
            batch = self._rows.batch(index)
            loss, logits = self._loss_of(batch)
            total += float(loss) * len(index)
            if self._click is not None:
                known = batch.known[:, self._click] > 0
                clicks.append(batch.value[known, self._click] > 0)
                scores.append(logits[known, self._click])
        found = {LOSS: total / len(self._rows)}
        if self._click is not None:
            found["click AUC"] = _auc(torch.cat(clicks), torch.cat(scores))
        return found


def _auc(positive: Tensor, score: Tensor) -> float:
    """The chance that a positive scores above a negative, ties counting one half; NaN where there is one kind alone."""
    _, place, count = score.unique(return_inverse=True, return_counts=True)
    rank = (count.cumsum(0) - (count - 1) / 2)[place].double()
    yes = int(positive.sum())
    no = len(positive) - yes
    return float((rank[positive].sum() - yes * (yes + 1) / 2) / (yes * no)) if yes and no else float("nan")
