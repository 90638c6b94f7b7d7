"""Training of the ranking models from a log and its feature store."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from headrace.data.dataset import InteractionLog
from headrace.data.signals import COMPLETION, PLAY_TIME
from headrace.features import FeatureStore, TrainingSet
from headrace.models import WithPrior
from headrace.ranking.completion import CompletionCurve
from headrace.ranking.fusion import FusionSettings
from headrace.ranking.heads import Heads
from headrace.ranking.ranker import Ranker
from headrace.ranking.settings import RankerSettings, train_settings
from headrace.ranking.targets import Labels, labels_of, sample_weights
from headrace.ranking.warm_start import CodeMaps, copy_embeddings, copy_layers
from headrace.training.build import Build


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
    log: InteractionLog | None = None,
    rows: TrainingSet | None = None,
    fusion: FusionSettings | None = None,
    maps: CodeMaps | None = None,
) -> Ranker:
    """Trains a ranker or, by `PreRankerSettings`, a pre-ranker, with features as `build.store` would have served them.

    log: what it learns from; the dataset's own where none is given. rows: the features of that log, if they are at
    hand. maps: which of the codes of the ranker in `build.warm` today's codes were (see `copy_embeddings`); its other
    weights are taken over where it is the same model of the same targets.
    Raises ValueError when the log teaches none of the targets.
    """
    settings, store = settings or RankerSettings(), build.store
    log = build.dataset.log if log is None else log
    labels = labels_of(log).without(settings.leave_out)
    rows = rows or TrainingSet(store, log)
    known = sample_weights(labels, settings.negative_rate, build.seed)
    timed = torch.tensor([name == PLAY_TIME for name in labels.names])
    with build.seeded():
        network = settings.build(store.columns, len(labels.names))
    rate = (soft_labels(labels.value, timed) * known).sum(0) / known.sum(0).clamp_min(1)
    network.set_prior(rate.clamp(1e-4, 1 - 1e-4).logit())
    if (earlier := build.warm.get(settings.part)) is not None:
        copy_embeddings(network, earlier.network, maps)
        if (settings.model, labels.names) == (earlier.settings.model, earlier.heads.targets):
            copy_layers(network, earlier.network)
    loss = _Loss(network, rows, labels, known, timed, settings)
    build.train(network, len(loss.used), loss, train_settings(settings, len(rows)), settings.part)
    return Ranker(store, network, settings, _heads(store, rows, labels, settings, fusion))


class _Loss:
    """The loss of some of the rows that are a sample of at least one target. used: int64, these rows."""

    def __init__(
        self,
        network: WithPrior,
        rows: TrainingSet,
        labels: Labels,
        known: Tensor,
        timed: Tensor,
        settings: RankerSettings,
    ) -> None:
        self._network, self._rows, self._labels, self._known, self._timed = network, rows, labels, known, timed
        self._weights = torch.tensor([settings.weights.get(name, 1.0) for name in labels.names], dtype=torch.float32)
        self.used = known.any(1).nonzero()[:, 0]

    def __call__(self, index: Tensor) -> Tensor:
        index = self.used[index]
        logits = self._network(self._rows.columns(index))
        return targets_loss(logits, self._labels.value[index], self._known[index], self._timed, self._weights)


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
