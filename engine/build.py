"""From a dataset to a trained engine and its snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress

from headrace.channels import CHANNELS, Channel, ChannelSettings
from headrace.data import Dataset, check_plausible
from headrace.data.words import realigned
from headrace.exposure import Bars, ExposureFilter, Stock
from headrace.features import TrainingSet
from headrace.features.families.words import Words
from headrace.fingerprint import fingerprint
from headrace.ranking import check_interest, check_objectives, train_ranker
from headrace.ranking.negatives import with_unshown
from headrace.reranking import Reranker
from headrace.serving.engine import Engine
from headrace.settings import Settings
from headrace.snapshot import work_folder
from headrace.storage import assemble, save
from headrace.training.build import Build
from headrace.training.loop import FitReport


@dataclass(frozen=True)
class Built:
    """A trained engine, what its training reported, and what could not be built -> why.

    left_out: channels. unlearnt: targets that the log cannot teach, and the fusion where it has none of its columns.
    """

    engine: Engine
    fits: list[FitReport]
    left_out: dict[str, str]
    unlearnt: dict[str, str] = field(default_factory=dict)

    @property
    def slow(self) -> dict[str, str]:
        """What is served by torch rather than by the network kernel -> why."""
        funnel = self.engine.funnel
        reasons = {"preranker": funnel.preranker.reason, "ranker": funnel.ranker.reason}
        return {name: reason for name, reason in reasons.items() if reason is not None}


# Whatever mode the caller is in: training needs gradients.
@torch.inference_mode(False)
def build(
    dataset: Dataset, settings: Settings, out: Path, progress: Progress | None = None, warm: Engine | None = None
) -> Built:
    """Trains every stage on the whole of `dataset.log`, writes a snapshot into `out`, and returns its engine.

    Training checkpoints live in a folder `out`/work-... until the snapshot is written: the same call after an
    interruption goes on from them. warm: an engine whose models training starts from; users and items are matched by
    id, words by what they say, and codes without words must mean what they meant. A snapshot that is there is replaced
    once the new engine has answered a known and an unknown user.
    Raises, before any training, ValueError for a log that is empty, has implausible times, holds no interest or teaches
    no target of the score, and for no channel that can be built; SnapshotError where `out` holds something and is no
    snapshot's or another build of the same job is at work there; OSError when `out` cannot be written.
    """
    if len(dataset.log) == 0:
        raise ValueError(f"log: expected at least 1 row to learn from in {dataset.name}, got 0")
    for time in dataset.log.time[[0, -1]].tolist():
        check_plausible("log.time", time)
    check_interest(dataset.log)
    parts = _parts(warm)
    if warm and (words := warm.funnel.ranker.store.family(Words)):
        dataset = realigned(dataset, words.vocabulary())
    with work_folder(out, fingerprint(dataset, settings, {name: part.state() for name, part in parts.items()})) as work:
        stock = Stock.of(dataset, settings.exposure.recall_days)
        job = Build(
            dataset,
            settings.seed,
            settings.features,
            progress=progress,
            work=work,
            warm=parts,
            recall_ms=stock.recall_ms,
        )
        return _build(job, stock, settings, out, _moved_codes(warm, dataset) if warm else None)


def _build(job: Build, stock: Stock, settings: Settings, out: Path, maps: dict[str, torch.Tensor] | None) -> Built:
    dataset = job.dataset
    with job.step("features"):
        store = job.store
    share = min(settings.unshown, settings.unshown_most / len(dataset.log))
    shown = with_unshown(dataset.log, len(dataset.catalogue), share, settings.seed)
    unlearnt = check_objectives(shown, (settings.preranker, settings.ranker), settings.fusion)
    channels = fit_channels(job, settings.channels)
    if not channels:
        why = "; ".join(f"{name}: {lack}" for name, lack in job.left_out.items()) or "no quota above 0"
        raise ValueError(f"channels: expected at least one that can be built, got none ({why})")
    with job.step("exposures"):
        bars = Bars(fit_exposure(dataset, settings), stock)
        reranker = Reranker.from_catalogue(settings.reranking, dataset.catalogue)
    with job.step("training rows"):
        rows = TrainingSet(store, shown)
    preranker, ranker = (
        train_ranker(job, one, log=shown, rows=rows, fusion=settings.fusion, maps=maps)
        for one in (settings.preranker, settings.ranker)
    )
    funnel = assemble(channels, bars, preranker, ranker, reranker, settings)
    as_of = int(dataset.log.time[-1]) + 1
    with job.step("first answers"):
        _check_answers(Engine(funnel, dataset.users.ids, dataset.catalogue.ids, as_of, settings), dataset)
    with job.step("snapshot"):
        save(funnel, dataset, as_of, settings, out)
    engine = Engine(funnel, dataset.users.ids, dataset.catalogue.ids, as_of, settings)
    return Built(engine, job.fits, job.left_out, unlearnt)


def _check_answers(engine: Engine, dataset: Dataset) -> None:
    """Raises ValueError where the engine fails a user of the log's end or an unknown one, or has nothing for the latter
    though a channel is for everybody."""
    rows = np.append(dataset.log.user[-1:], -1).astype(np.int64)
    page = engine.funnel.run(engine.requests(rows), engine.settings.page.shown).page
    if not bool(page.score.isfinite().all()):
        raise ValueError(f"build: expected finite scores in the first answers, got {page.score.tolist()}")
    everybody = [channel.name for channel in engine.funnel.channels if not channel.personalised]
    if everybody and int(page.counts[-1]) == 0:
        raise ValueError(f"build: expected items for an unknown user from {', '.join(everybody)}, got none")


def fit_channels(build: Build, settings: Mapping[str, ChannelSettings]) -> list[Channel]:
    """Every channel with a quota that lacks nothing, in the order of their names, into `build.channels`; the others'
    lacks go into `build.left_out`."""
    wanted = {name: kind for name, kind in CHANNELS.items() if any(settings[name].quotas.values())}
    task = build.progress.add_task("channels", total=len(wanted)) if build.progress else None
    for name, kind in wanted.items():
        if lack := kind.needs(build.dataset):
            build.left_out[name] = lack
        else:
            build.channels[name] = kind.fit(build, settings[name])
        if build.progress and task is not None:
            build.progress.advance(task)
    return list(build.channels.values())


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
        **{channel.source.name: channel.source for channel in funnel.channels},
        "preranker": funnel.preranker,
        "ranker": funnel.ranker,
    }


def _moved_codes(warm: Engine, dataset: Dataset) -> dict[str, torch.Tensor]:
    """field -> the row that each of today's rows had in the engine that training starts from, -1 where it had none."""
    return {
        "user": torch.from_numpy(warm.users.rows(dataset.users.ids.ids)),
        "item": torch.from_numpy(warm.items.rows(dataset.catalogue.ids.ids)),
    }
