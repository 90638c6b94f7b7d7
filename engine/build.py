"""From a dataset to a trained engine and its snapshot."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress

from headrace.channels import CHANNELS, Channel, ChannelSettings
from headrace.data import Dataset
from headrace.exposure import Bars, ExposureFilter, Stock
from headrace.features import TrainingSet
from headrace.ranking import train_ranker
from headrace.ranking.negatives import with_unshown
from headrace.reranking import Reranker
from headrace.serving.engine import Engine
from headrace.settings import Settings
from headrace.storage import assemble, save
from headrace.training.build import Build
from headrace.training.loop import FitReport


@dataclass(frozen=True)
class Built:
    """A trained engine, what its training reported, and what could not be built -> why."""

    engine: Engine
    fits: list[FitReport]
    left_out: dict[str, str]

    @property
    def slow(self) -> dict[str, str]:
        """What is served by torch rather than by the network kernel -> why."""
        funnel = self.engine.funnel
        reasons = {"preranker": funnel.preranker.reason, "ranker": funnel.ranker.reason}
        return {name: reason for name, reason in reasons.items() if reason is not None}


def build(
    dataset: Dataset, settings: Settings, out: Path, progress: Progress | None = None, warm: Engine | None = None
) -> Built:
    """Trains every stage on the whole of `dataset.log`, writes a snapshot into `out`, and returns its engine.

    Training checkpoints live in `out`/work until the snapshot is written: the same call after an interruption goes on
    from them. warm: an engine whose models training starts from; users and items are matched by id, and the codes of
    features must mean what they meant. Raises ValueError for an empty log or no channel that can be built, OSError when
    `out` cannot be written.
    """
    if len(dataset.log) == 0:
        raise ValueError(f"log: expected at least 1 row to learn from in {dataset.name}, got 0")
    work = out / "work" / _fingerprint(dataset, settings)
    job = Build(dataset, settings.seed, settings.features, progress=progress, work=work, warm=_parts(warm))
    with job.step("features"):
        store = job.store
    channels = fit_channels(job, settings.channels)
    with job.step("exposures"):
        bars = Bars(fit_exposure(dataset, settings), Stock.of(dataset, settings.exposure.recall_days))
        reranker = Reranker.from_catalogue(settings.reranking, dataset.catalogue)
    with job.step("training rows"):
        share = min(settings.unshown, settings.unshown_most / len(dataset.log))
        shown = with_unshown(dataset.log, len(dataset.catalogue), share, settings.seed)
        rows = TrainingSet(store, shown)
    maps = _moved_codes(warm, dataset) if warm else None
    preranker, ranker = (
        train_ranker(job, one, log=shown, rows=rows, fusion=settings.fusion, maps=maps)
        for one in (settings.preranker, settings.ranker)
    )
    funnel = assemble(channels, bars, preranker, ranker, reranker, settings)
    as_of = int(dataset.log.time[-1]) + 1
    with job.step("snapshot"):
        save(funnel, dataset, as_of, settings, out)
    shutil.rmtree(out / "work", ignore_errors=True)
    engine = Engine(funnel, dataset.users.ids, dataset.catalogue.ids, as_of, settings)
    return Built(engine, job.fits, job.left_out)


def fit_channels(build: Build, settings: Mapping[str, ChannelSettings]) -> list[Channel]:
    """Every channel with a quota that lacks nothing, in the order of their names; the others' lacks go into
    `build.left_out`."""
    wanted = {name: kind for name, kind in CHANNELS.items() if settings[name].quota}
    task = build.progress.add_task("channels", total=len(wanted)) if build.progress else None
    channels = []
    for name, kind in wanted.items():
        if lack := kind.needs(build.dataset):
            build.left_out[name] = lack
        else:
            channels.append(kind.fit(build, settings[name]))
        if build.progress and task is not None:
            build.progress.advance(task)
    return channels


def fit_exposure(dataset: Dataset, settings: Settings) -> ExposureFilter:
    """What the log showed within the window of the settings."""
    chosen = settings.exposure
    return ExposureFilter.build(dataset.log, users=len(dataset.users), fpr=chosen.fpr, window_days=chosen.days)


def _parts(warm: Engine | None) -> dict[str, Any]:
    """The trained parts of an engine by name."""
    if warm is None:
        return {}
    funnel = warm.funnel
    return {
        "features": funnel.ranker.store,
        **{channel.name: channel for channel in funnel.channels},
        "preranker": funnel.preranker,
        "ranker": funnel.ranker,
    }


def _moved_codes(warm: Engine, dataset: Dataset) -> dict[str, torch.Tensor]:
    """field -> the row that each of today's rows had in the engine that training starts from, -1 where it had none."""
    return {
        "user": torch.from_numpy(warm.users.rows(dataset.users.ids.ids)),
        "item": torch.from_numpy(warm.items.rows(dataset.catalogue.ids.ids)),
    }


def _fingerprint(dataset: Dataset, settings: Settings) -> str:
    """Changes when the log or the settings do, so that a checkpoint is never used for another job."""
    digest = hashlib.sha256(settings.model_dump_json().encode())
    for column in (dataset.log.user, dataset.log.item, dataset.log.time):
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()[:16]
