"""Training of the ranking models from a log and its feature store."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional as F

from headrace.data.dataset import Dataset
from headrace.data.signals import COMPLETION, PLAY_TIME
from headrace.features import FeatureStore, TrainingSet
from headrace.models import WithPrior
from headrace.ranking.completion import CompletionCurve
from headrace.ranking.fusion import FusionSettings
from headrace.ranking.heads import Heads
from headrace.ranking.ranker import Ranker
from headrace.ranking.settings import RankerSettings, train_settings
from headrace.ranking.targets import Labels, labels_of, negatives_kept
from headrace.ranking.warm_start import CodeMaps, copy_embeddings, copy_layers
from headrace.training.loop import FitReport, fit


def soft_labels(value: Tensor, timed: Tensor) -> Tensor:
    """float32 [n, T]: y = t / (1 + t) for the play times (columns `timed`), the labels as they are for the others."""
    return torch.where(timed, value / (1 + value), value)


def targets_loss(logits: Tensor, value: Tensor, known: Tensor, timed: Tensor, weights: Tensor) -> Tensor:
    """Mean over the rows of sum_t w_t CE(y_t, p_t), each target over its own samples.

    logits, value, known: float32 [n, T]; timed: bool [T], the play time; weights: float32 [T]. A play time of t seconds
    has y = t / (1 + t) (Covington et al., RecSys 2016), so that exp(z) predicts t.
    """
    loss = F.softplus(logits) - soft_labels(value, timed) * logits
    return (loss * known * weights).sum() / len(logits)


def train_ranker(
    dataset: Dataset,
    store: FeatureStore,
    settings: RankerSettings | None = None,
    *,
    fusion: FusionSettings | None = None,
    training_set: TrainingSet | None = None,
    initial: Ranker | None = None,
    maps: CodeMaps | None = None,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> tuple[Ranker, FitReport]:
    """Trains a ranker or, by `PreRankerSettings`, a pre-ranker on the log of `dataset`, with features as `store` would
    have served them.

    training_set: the features of the whole log, if they are at hand. initial: a ranker to start from; `maps` says which
    of its codes the codes of `store` were (see `copy_embeddings`); its other weights are taken over where it is the
    same model of the same targets. Raises ValueError when the log teaches none of the targets.
    """
    settings = settings or RankerSettings()
    labels = labels_of(dataset.log).without(settings.leave_out)
    torch.manual_seed(settings.train.seed if settings.train else 0)
    network = settings.build(store.columns, len(labels.names))
    rows = training_set or TrainingSet(store, dataset.log)
    train = train_settings(settings, len(rows))
    known = negatives_kept(labels, settings.negative_rate, train.seed)
    timed = torch.tensor([name == PLAY_TIME for name in labels.names])
    rate = (soft_labels(labels.value, timed) * known).sum(0) / known.sum(0).clamp_min(1)
    network.set_prior(rate.clamp(1e-4, 1 - 1e-4).logit())
    if initial is not None:
        copy_embeddings(network, initial.network, maps)
        if (settings.model, labels.names) == (initial.settings.model, initial.heads.targets):
            copy_layers(network, initial.network)
    loss = _Loss(network, rows, labels, known, timed, settings)
    report = fit(network, len(loss.used), loss, train, label=settings.label, progress=progress, checkpoint=checkpoint)
    return Ranker(store, network, settings, _heads(store, rows, labels, settings, fusion)), report


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
        self._weights = torch.tensor([settings.weights.get(name, 1.0) for name in labels.names])
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
