"""From a dataset to a trained engine and its snapshot."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from rich.progress import Progress

from headrace.data import Dataset
from headrace.exposure import ExposureFilter
from headrace.features import FeatureStore, TrainingSet
from headrace.ranking import train_preranker, train_ranker
from headrace.ranking.negatives import with_unshown
from headrace.ranking.settings import RankingSettings, train_settings
from headrace.reranking import Reranker
from headrace.retrieval import AuthorLatest, Channel, ItemCF, Popular, PopularInCategory
from headrace.retrieval.two_tower import TwoTower
from headrace.serving.engine import Engine
from headrace.serving.storage import assemble, save_engine
from headrace.settings import Settings
from headrace.training.loop import FitReport
from headrace.training.matrix_completion import train_matrix_completion
from headrace.training.two_tower import train_two_tower

_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Built:
    """A trained engine and what its training reported."""

    engine: Engine
    fits: list[FitReport]


def build(
    dataset: Dataset, settings: Settings, out: Path, progress: Progress | None = None, warm: Engine | None = None
) -> Built:
    """Trains every stage on the whole of `dataset.log`, writes a snapshot into `out`, and returns its engine.

    Training checkpoints live in `out`/work until the snapshot is written: the same call after an interruption goes on
    from them. warm: an engine whose models training starts from; users and items are matched by id, and the codes of
    features must mean what they meant. Raises ValueError for an empty log, OSError when `out` cannot be written.
    """
    if len(dataset.log) == 0:
        raise ValueError(f"log: expected at least 1 row to learn from in {dataset.name}, got 0")
    work = out / "work" / _fingerprint(dataset, settings)
    with _step(progress, "channels"):
        channels = fit_channels(dataset, settings)
        exposure = fit_exposure(dataset, settings)
        reranker = Reranker.from_catalogue(settings.reranking, dataset.catalogue)
    tower, tower_fit = train_two_tower(
        dataset,
        settings.two_tower.model_copy(update={"seed": settings.seed}),
        progress=progress,
        checkpoint=work / "two_tower.pt",
        initial=next(c for c in warm.funnel.channels if isinstance(c, TwoTower)) if warm else None,
    )
    channels.insert(1, tower)
    fits = [tower_fit]
    if settings.recall.matrix_completion:
        completion, completion_fit = train_matrix_completion(
            dataset,
            settings.matrix_completion.model_copy(update={"seed": settings.seed}),
            progress=progress,
            checkpoint=work / "matrix_completion.pt",
        )
        channels.insert(2, completion)
        fits.append(completion_fit)
    with _step(progress, "features"):
        store = FeatureStore.fit(dataset, settings.features)
        share = min(settings.unshown, settings.unshown_most / len(dataset.log))
        shown = with_unshown(dataset.log, len(dataset.catalogue), share, settings.seed)
        taught = dataset.with_log(shown)
        rows = TrainingSet(store, shown)
    maps = _moved_codes(warm, dataset) if warm else None
    preranker, preranker_fit = train_preranker(
        taught,
        store,
        _seeded(settings.preranker, len(rows), settings.seed),
        fusion=settings.fusion,
        training_set=rows,
        initial=warm.funnel.preranker if warm else None,
        maps=maps,
        progress=progress,
        checkpoint=work / "preranker.pt",
    )
    ranker, ranker_fit = train_ranker(
        taught,
        store,
        _seeded(settings.ranker, len(rows), settings.seed),
        fusion=settings.fusion,
        training_set=rows,
        initial=warm.funnel.ranker if warm else None,
        maps=maps,
        progress=progress,
        checkpoint=work / "ranker.pt",
    )
    funnel = assemble(channels, exposure, preranker, ranker, reranker, settings)
    engine = Engine(funnel, dataset.users.ids, dataset.catalogue.ids, int(dataset.log.time[-1]) + 1, settings)
    with _step(progress, "snapshot"):
        save_engine(engine, dataset, out)
    shutil.rmtree(out / "work", ignore_errors=True)
    return Built(engine, [*fits, preranker_fit, ranker_fit])


def fit_channels(dataset: Dataset, settings: Settings) -> list[Channel]:
    """The channels that are counted rather than trained, those that the catalogue's columns allow."""
    catalogue, users = dataset.catalogue, len(dataset.users)
    logs = [dataset.log] if dataset.history is None else [dataset.history, dataset.log]
    recall = settings.recall
    channels: list[Channel] = [ItemCF.fit(logs, users, len(catalogue), recall.neighbours, min_common=recall.min_common)]
    if AuthorLatest.available(catalogue):
        channels.append(AuthorLatest.fit(logs, users, catalogue))
    if PopularInCategory.available(catalogue):
        channels.append(PopularInCategory.fit(logs, users, catalogue))
    channels.append(Popular.fit([dataset.log], len(catalogue)))
    return channels


def fit_exposure(dataset: Dataset, settings: Settings) -> ExposureFilter:
    """Everything shown in the log, in a window that covers it: what is recalled is not limited to new items."""
    log = dataset.log
    days = max(settings.exposure.days, (int(log.time[-1]) - int(log.time[0])) / _DAY_MS + 1)
    return ExposureFilter.build(log, users=len(dataset.users), fpr=settings.exposure.fpr, window_days=days)


_S = TypeVar("_S", bound=RankingSettings)


def _seeded(settings: _S, rows: int, seed: int) -> _S:
    """The settings with training that draws from the one seed of the build."""
    train = train_settings(settings, rows).model_copy(update={"seed": seed})
    return settings.model_copy(update={"train": train})


def _moved_codes(warm: Engine, dataset: Dataset) -> dict[str, torch.Tensor]:
    """field -> the row that each of today's rows had in the engine that training starts from, -1 where it had none."""
    return {
        "user": torch.from_numpy(warm.users.rows(dataset.users.ids.ids)),
        "item": torch.from_numpy(warm.items.rows(dataset.catalogue.ids.ids)),
    }


@contextmanager
def _step(progress: Progress | None, label: str) -> Iterator[None]:
    """One bar for a piece of work without steps of its own."""
    task = progress.add_task(label, total=1) if progress else None
    yield
    if progress and task is not None:
        progress.advance(task)


def _fingerprint(dataset: Dataset, settings: Settings) -> str:
    """Changes when the log or the settings do, so that a checkpoint is never used for another job."""
    digest = hashlib.sha256(settings.model_dump_json().encode())
    for column in (dataset.log.user, dataset.log.item, dataset.log.time):
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()[:16]
