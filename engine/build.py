"""From a dataset to a snapshot, and from a snapshot to an engine."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.progress import Progress

from headrace.data import Catalogue, Dataset, IdMap, InteractionLog
from headrace.exposure import ExposureFilter
from headrace.features import FeatureStore
from headrace.funnel import Funnel
from headrace.ranking.preranking import PreRanker, train_preranker
from headrace.ranking.ranker import Ranker, train_ranker
from headrace.reranking import Reranker
from headrace.retrieval import AuthorLatest, Channel, ItemCF, Popular, PopularInCategory
from headrace.retrieval.two_tower import TwoTower
from headrace.serving.engine import Engine
from headrace.settings import Settings
from headrace.snapshot import Snapshot, SnapshotError, read_snapshot, write_snapshot
from headrace.training.loop import FitReport
from headrace.training.two_tower import train_two_tower

CHANNELS: dict[str, type[Channel]] = {
    "itemcf": ItemCF,
    "two_tower": TwoTower,
    "author": AuthorLatest,
    "popular_in_category": PopularInCategory,
    "popular": Popular,
}


@dataclass(frozen=True)
class Built:
    """A trained engine and what its training reported."""

    engine: Engine
    fits: list[FitReport]


def build(dataset: Dataset, settings: Settings, out: Path, progress: Progress | None = None) -> Built:
    """Trains every stage on the whole of `dataset.log`, writes a snapshot into `out`, and returns its engine.

    Training checkpoints live in `out`/work until the snapshot is written: the same call after an interruption goes on
    from them. Raises ValueError for an empty log, OSError when `out` cannot be written.
    """
    if len(dataset.log) == 0:
        raise ValueError(f"log: expected at least 1 row to learn from in {dataset.name}, got 0")
    work = out / "work" / _fingerprint(dataset, settings)
    task = progress.add_task("channels", total=None) if progress else None
    channels, fits = fit_channels(dataset, settings, work, progress)
    exposure = ExposureFilter.build(dataset.log, len(dataset.users), settings.exposure)
    if progress and task is not None:
        progress.update(task, total=1, completed=1)
    store = FeatureStore.fit(dataset)
    preranker, prerank_fit = train_preranker(dataset, store, settings.preranker, progress, work / "preranker.pt")
    ranker, rank_fit = train_ranker(dataset, store, settings.ranker, progress, work / "ranker.pt")
    reranker = Reranker.fit(dataset.catalogue, settings.reranking)
    funnel = Funnel(
        channels,
        [getattr(settings.recall, channel.name) for channel in channels],
        settings.recall.total,
        exposure,
        preranker,
        settings.page.ranked,
        ranker,
        reranker,
    )
    as_of = int(dataset.log.time[-1]) + 1
    engine = Engine(funnel, dataset.users.ids, dataset.catalogue.ids, as_of, settings)
    write_snapshot(out, snapshot_of(engine, dataset))
    shutil.rmtree(out / "work", ignore_errors=True)
    return Built(engine, [*fits, prerank_fit, rank_fit])


def fit_channels(
    dataset: Dataset, settings: Settings, work: Path, progress: Progress | None
) -> tuple[list[Channel], list[FitReport]]:
    """Every channel that the dataset's columns allow, in the order of their bits."""
    catalogue, users = dataset.catalogue, len(dataset.users)
    logs = [dataset.log] if dataset.history is None else [dataset.history, dataset.log]
    tower, fit = train_two_tower(dataset, settings.two_tower, progress=progress, checkpoint=work / "two_tower.pt")
    channels: list[Channel] = [ItemCF.fit(logs, users, len(catalogue)), tower]
    if AuthorLatest.available(catalogue):
        channels.append(AuthorLatest.fit(logs, users, catalogue))
    if PopularInCategory.available(catalogue):
        channels.append(PopularInCategory.fit(logs, users, catalogue))
    channels.append(Popular.fit([dataset.log], len(catalogue)))
    return channels, [fit]


def _fingerprint(dataset: Dataset, settings: Settings) -> str:
    """Changes when the log or the settings do, so that a checkpoint is never used for another job."""
    digest = hashlib.sha256(settings.model_dump_json().encode())
    for column in (dataset.log.user, dataset.log.item, dataset.log.time):
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()[:16]
