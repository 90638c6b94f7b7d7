"""Training of the ranking models from a log and its feature store."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from headrace.data.signals import COMPLETION, PLAY_TIME
from headrace.features import FeatureStore, TrainingSet
from headrace.ranking.completion import CompletionCurve
from headrace.ranking.fusion import FusionSettings
from headrace.ranking.heads import Heads
from headrace.ranking.negatives import Unshown
from headrace.ranking.ranker import Ranker
from headrace.ranking.rounds import Rounds, Validation
from headrace.ranking.samples import Batch, Epoch, Samples
from headrace.ranking.settings import RankerSettings, train_settings
from headrace.ranking.targets import Labels, labels_of, sample_weights
from headrace.ranking.warm_start import CodeMaps, copy_embeddings, copy_layers
from headrace.training.build import Build
from headrace.training.split import SHARE

#: The most rows that a validation reads: more would tell it no better.
_VALIDATED = 50_000
#: The epoch of the draws that validate, and of those beside the rows that were kept back.
_HELD, _LAST = -1, 1 << 20
#: Of the learning rates, for the one pass over the rows that were kept back: more of them may undo what was learnt.
_LAST_RATE = 0.3
_RATES = ("learning_rate", "embedding_learning_rate")


def soft_labels(value: Tensor, timed: Tensor) -> Tensor:
    """float32 [n, T]: y = t / (1 + t) for the play times (columns `timed`), the labels as they are for the others."""
    return torch.where(timed, value / (1 + value), value)


def targets_loss(logits: Tensor, value: Tensor, known: Tensor, timed: Tensor, weights: Tensor) -> Tensor:
    """Mean over the rows of sum_t w_t CE(y_t, p_t), each target over its own samples.

    logits, value, known: float32 [n, T], the last the weight of each row as a sample of each target; timed: bool [T],
    the play time; weights: float32 [T]. A play time of t seconds has y = t / (1 + t) (Covington et al., RecSys 2016),
    so that exp(z) predicts t.
    """
    loss = F.softplus(logits) - soft_labels(value, timed) * logits
    return (loss * known * weights).sum() / len(logits)


def train_ranker(
    build: Build,
    settings: RankerSettings | None = None,
    *,
    samples: Samples | None = None,
    fusion: FusionSettings | None = None,
    maps: CodeMaps | None = None,
) -> Ranker:
    """Trains a ranker or, by `PreRankerSettings`, a pre-ranker, with features as `build.store` would have served them:
    first on the rows that are not kept back, watched by those, then once over those.

    samples: what it learns from; the rows of the dataset's own log, with no unshown items, where none are given. maps:
    which of the codes of the ranker in `build.warm` today's codes were (see `copy_embeddings`); its other weights are
    taken over where it is the same model of the same targets.
    Raises ValueError when the log teaches none of the targets.
    """
    dataset = build.dataset
    samples = samples or Samples.of(build.store, dataset.log, Unshown(0, len(dataset.catalogue), build.seed), SHARE)
    training = RankerTraining(build, settings or RankerSettings(), samples, fusion, maps)
    training.fit()
    training.finish()
    return training.ranker


class RankerTraining:
    """The training of one ranker in its two parts, `fit` and `finish`; `ranker` is what it has come to.

    share: of unshown items for each row of the log.
    """

    def __init__(
        self,
        build: Build,
        settings: RankerSettings,
        samples: Samples,
        fusion: FusionSettings | None = None,
        maps: CodeMaps | None = None,
    ) -> None:
        self._build, self._settings, self._samples = build, settings, samples
        labels = labels_of(samples.log, samples.names).without(settings.leave_out)
        known = sample_weights(labels, settings.negative_rate, build.seed)
        self._labels = Labels(labels.names, labels.value, known)
        self._used = known.any(1).numpy()
        self._drawn = [name in samples.drawn for name in labels.names]
        rates = [settings.negative_rate.get(name, 1.0) for name in labels.names if name in samples.drawn]
        self.share = samples.unshown.share * max(rates, default=0.0)
        self._timed = torch.tensor([name == PLAY_TIME for name in labels.names])
        rows = self._rows_of(self._used_of(samples.trained))
        self._train = train_settings(settings, rows, watched=samples.split is not None)
        weights = [settings.weights.get(name, 1.0) for name in labels.names]
        self._weights = torch.tensor(weights, dtype=torch.float32)
        with build.seeded():
            network = settings.build(build.store.columns, len(labels.names))
        network.set_prior(self._prior())
        if (earlier := build.warm.get(settings.part)) is not None:
            copy_embeddings(network, earlier.network, maps)
            if (settings.model, labels.names) == (earlier.settings.model, earlier.heads.targets):
                copy_layers(network, earlier.network)
        heads = _heads(build.store, samples.rows, labels, settings, fusion)
        self.ranker = Ranker(build.store, network, settings, heads)

    def fit(self) -> None:
        """Trains on the rows that are not kept back, until the loss of those that are stops falling."""
        settings, train, held = self._settings, self._train, self._used_of(self._samples.held)
        validate = None
        if len(held):
            chosen = held[:: -(-len(held) // _VALIDATED)]
            validate = Validation(self._epoch(chosen, _HELD), self._loss, self._labels.names)
        used = self._used_of(self._samples.trained)
        rows = Rounds(lambda number: self._epoch(used, number), self._loss)
        self._build.train(
            self.ranker.network, self._rows_of(used), rows.loss, train, settings.part,
            begin=rows.begin, validate=validate, patience=train.patience, average=True,
        )  # fmt: skip

    def finish(self) -> None:
        """One pass over the rows that were kept back."""
        held = self._used_of(self._samples.held)
        if len(held):
            rows = Rounds(lambda _: self._epoch(held, _LAST), self._loss)
            rates = {name: _LAST_RATE * getattr(self._train, name) for name in _RATES}
            once = self._train.model_copy(update={"epochs": 1, **rates})
            label = f"{self._settings.part}_last_rows"
            self._build.train(
                self.ranker.network, self._rows_of(held), rows.loss, once, label, begin=rows.begin, average=True
            )

    def _used_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of some rows that are a sample of at least one target."""
        used: NDArray[np.int64] = rows[self._used[rows]]
        return used

    def _rows_of(self, used: NDArray[np.int64]) -> int:
        """How many rows an epoch over `used` rows of the log has."""
        return len(used) + int(self.share * len(used))

    def _prior(self) -> Tensor:
        """float32 [T]: the log-odds of the overall rates, drawn rows among them."""
        value, known = soft_labels(self._labels.value, self._timed), self._labels.known
        count = known.sum(0)
        drawn = self.share * len(known) * torch.tensor(self._drawn, dtype=torch.float32)
        rate = (value * known).sum(0) / (count + drawn).clamp_min(1)
        return rate.clamp(1e-4, 1 - 1e-4).logit()

    def _epoch(self, used: NDArray[np.int64], number: int) -> Epoch:
        return Epoch(self._samples, self._labels, used, self.share, number)

    def _loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss, and the logits it is of."""
        logits = self.ranker.network(batch.columns)
        return targets_loss(logits, batch.value, batch.known, self._timed, self._weights), logits


def _heads(
    store: FeatureStore, rows: TrainingSet, labels: Labels, settings: RankerSettings, fusion: FusionSettings | None
) -> Heads:
    if COMPLETION in labels.names:
        column = labels.names.index(COMPLETION)
        duration = store.item_code("duration", rows.item)
        curve = CompletionCurve.fit(duration, labels.value[:, column], labels.known[:, column])
    else:
        curve = CompletionCurve.flat()
    return Heads(labels.names, settings.negative_rate, curve, fusion or FusionSettings())
