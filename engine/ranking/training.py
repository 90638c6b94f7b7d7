"""Training of the ranking models from a log and its feature store."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional as F

from headrace.data.dataset import Dataset
from headrace.features import FeatureStore, TrainingSet
from headrace.ranking.completion import CompletionCurve
from headrace.ranking.fusion import FusionSettings
from headrace.ranking.heads import Heads
from headrace.ranking.multitarget import RankingNetwork
from headrace.ranking.preranking import PreRanker
from headrace.ranking.ranker import Ranker
from headrace.ranking.settings import PreRankerSettings, RankerSettings, RankingSettings, train_settings
from headrace.ranking.targets import COMPLETION, PLAY_TIME, Labels, labels_of, negatives_kept
from headrace.ranking.towers import ThreeTowers
from headrace.ranking.warm_start import CodeMaps, warm_start
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
    seed: int = 0,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> tuple[Ranker, FitReport]:
    """Trains a ranker on the log of `dataset`, with features as `store` would have served them.

    training_set: the features of the whole log, if they are at hand. initial: a ranker to start from; `maps` says which
    of its codes the codes of `store` were (see `warm_start`).
    """
    settings = settings or RankerSettings()
    labels = labels_of(dataset.log)
    torch.manual_seed(seed)
    network = RankingNetwork(store.spec, len(labels.names), settings)
    if initial is not None:
        warm_start(network, initial.network, labels.names, initial.heads.targets, maps)
    rows = training_set or TrainingSet(store, dataset.log)
    report = _fit(
        network,
        rows,
        labels,
        settings,
        label="ranker",
        warm=initial is not None,
        seed=seed,
        progress=progress,
        checkpoint=checkpoint,
    )
    heads = _heads(store, rows, labels, settings, fusion)
    return Ranker(store, network, settings, heads), report


def train_preranker(
    dataset: Dataset,
    store: FeatureStore,
    settings: PreRankerSettings | None = None,
    *,
    fusion: FusionSettings | None = None,
    training_set: TrainingSet | None = None,
    initial: PreRanker | None = None,
    maps: CodeMaps | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> tuple[PreRanker, FitReport]:
    """Trains a pre-ranker; the arguments are those of `train_ranker`. Play time is left to the ranker."""
    settings = settings or PreRankerSettings()
    labels = labels_of(dataset.log).without(PLAY_TIME)
    torch.manual_seed(seed)
    network = ThreeTowers(store.spec, len(labels.names), settings)
    if initial is not None:
        warm_start(network, initial.network, labels.names, initial.heads.targets, maps)
    rows = training_set or TrainingSet(store, dataset.log)
    report = _fit(
        network,
        rows,
        labels,
        settings,
        label="pre-ranker",
        warm=initial is not None,
        seed=seed,
        progress=progress,
        checkpoint=checkpoint,
    )
    model = PreRanker(store, network, settings, _heads(store, rows, labels, settings, fusion))
    model.warm_cache()
    return model, report


def _fit(
    network: RankingNetwork | ThreeTowers,
    rows: TrainingSet,
    labels: Labels,
    settings: RankingSettings,
    *,
    label: str,
    warm: bool,
    seed: int,
    progress: Progress | None,
    checkpoint: Path | None,
) -> FitReport:
    """Fits `network` (Inputs -> logits [n, T]) to the rows that are a sample of at least one target."""
    train = train_settings(settings, len(rows))
    known = negatives_kept(labels, settings.negative_rate, seed)
    weights = torch.tensor([settings.weights.get(name, 1.0) for name in labels.names])
    timed = torch.tensor([name == PLAY_TIME for name in labels.names])
    if not warm:
        rate = (soft_labels(labels.value, timed) * known).sum(0) / known.sum(0).clamp_min(1)
        network.set_prior(rate.clamp(1e-4, 1 - 1e-4).logit())
    used = known.any(1).nonzero()[:, 0]

    def loss_of(index: Tensor) -> Tensor:
        index = used[index]
        return targets_loss(network(rows.inputs(index)), labels.value[index], known[index], timed, weights)

    return fit(network, len(used), loss_of, train, label=label, seed=seed, progress=progress, checkpoint=checkpoint)


def _heads(
    store: FeatureStore, rows: TrainingSet, labels: Labels, settings: RankingSettings, fusion: FusionSettings | None
) -> Heads:
    if COMPLETION in labels.names:
        column = labels.names.index(COMPLETION)
        duration = store.items.duration_bucket(rows.item)
        curve = CompletionCurve.fit(duration, labels.value[:, column], labels.known[:, column])
    else:
        curve = CompletionCurve.flat()
    return Heads(labels.names, settings.negative_rate, curve, fusion or FusionSettings())
