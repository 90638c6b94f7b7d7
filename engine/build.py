"""From a dataset to a trained engine and its snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress

from headrace.channels import CHANNELS, Channel, ChannelSettings
from headrace.data import Dataset, check_plausible
from headrace.data.order import in_some_order
from headrace.data.words import realigned
from headrace.exposure import Bars, ExposureFilter, Stock
from headrace.features.families.words import Words
from headrace.fingerprint import fingerprint
from headrace.funnel import Funnel
from headrace.ranking import Ranker, check_interest, check_objectives
from headrace.ranking.negatives import Unshown
from headrace.ranking.samples import Samples
from headrace.ranking.training import RankerTraining
from headrace.rehearsal import Rehearsal, question_of, rehearse
from headrace.reranking import Reranker
from headrace.serving.engine import Engine
from headrace.settings import Settings
from headrace.snapshot import work_folder
from headrace.storage import RANKERS, assemble, check_answers, save
from headrace.training.build import Build
from headrace.training.loop import FitReport
from headrace.training.split import Split


@dataclass(frozen=True)
class Built:
    """A trained engine, what its training reported, and what could not be built -> why.

    left_out: channels. unlearnt: targets that the log cannot teach, and the fusion where it has none of its columns.
    rehearsal: of the log's last days; None where they are too few.
    said: what the build found of the log.
    """

    engine: Engine
    fits: list[FitReport]
    left_out: dict[str, str]
    unlearnt: dict[str, str] = field(default_factory=dict)
    rehearsal: Rehearsal | None = None
    said: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What is worth knowing of the log's order and of the trainings, a sentence each, without its full stop."""
        return [*self.said, *(fit.warning for fit in self.fits if fit.warning)]

    @property
    def slow(self) -> dict[str, str]:
        """What is served by torch rather than by the network kernel -> why."""
        funnel = self.engine.funnel
        rankers = {"preranker": funnel.preranker, "ranker": funnel.ranker}
        reasons = {name: ranker.reason for name, ranker in rankers.items() if ranker is not None}
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
    log, said = in_some_order(dataset.log, settings.seed)
    dataset = dataset.with_log(log)
    parts = _parts(warm)
    if warm and (words := warm.funnel.store.family(Words)):
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
        built = _build(job, stock, settings, out, _moved_codes(warm, dataset) if warm else None)
    return replace(built, said=(said,)) if said else built


def _build(job: Build, stock: Stock, settings: Settings, out: Path, maps: dict[str, torch.Tensor] | None) -> Built:
    dataset, log = job.dataset, job.dataset.log
    with job.step("features"):
        store = job.store
    share = min(settings.unshown, settings.unshown_most / len(log))
    unshown = Unshown(share, len(dataset.catalogue), settings.seed)
    stages = ((settings.preranker, settings.stages.preranking), (settings.ranker, settings.stages.ranking))
    used = tuple(one for one, wanted in stages if wanted)
    unlearnt = check_objectives(log, used, settings.fusion, drawn=share > 0)
    _check_channels(dataset, settings.channels)
    with job.step("training rows"):
        samples = Samples.of(store, log, unshown, settings.validation)
    trainings = {one.part: RankerTraining(job, one, samples, settings.fusion, maps) for one in used}
    for training in trainings.values():
        training.fit()
    rankers = {part: training.ranker for part, training in trainings.items()}
    rehearsed = _rehearsed(job, rankers, samples.split, settings)
    channels = fit_channels(job, settings.channels)
    with job.step("exposures"):
        bars = Bars(fit_exposure(dataset, settings), stock)
        reranker = Reranker.from_catalogue(settings.reranking, dataset.catalogue)
    for training in trainings.values():
        training.finish()
    if rehearsed is not None:
        for part, verdict in rehearsed.verdicts.items():
            rankers[part].heads.blend = verdict.blend
        settings = _decided(settings, rehearsed)
    funnel = assemble(channels, bars, store, rankers, reranker, settings)
    as_of = int(log.time[-1]) + 1
    with job.step("first answers"):
        _check_answers(funnel, int(dataset.log.user[-1]), as_of, settings.page.shown)
    with job.step("snapshot"):
        save(funnel, dataset, as_of, settings, out)
    engine = Engine(funnel, dataset.users.ids, dataset.catalogue.ids, as_of, settings)
    return Built(engine, job.fits, job.left_out, unlearnt, rehearsed)


def _rehearsed(job: Build, rankers: dict[str, Ranker], split: Split | None, settings: Settings) -> Rehearsal | None:
    """A rehearsal of the rows that the rankers have not learnt from; None where those are not the log's last, or too
    little is chosen in them, or the rows before them make no channel."""
    log, blend = job.dataset.log, settings.blend
    if not blend.use or not rankers or split is None or split.cut is None:
        return None
    after = log.take(split.held)
    if int((after.interest() > 0).sum()) < blend.least:
        return None
    past = job.before(split.cut, ", rehearsal")
    dataset = past.dataset
    question = question_of(dataset.log, after, len(dataset.catalogue), blend.requests, settings.seed)
    if not dataset.log.interest().any() or not len(question.requests):
        return None
    channels = fit_channels(past, settings.channels)
    if not channels:
        return None
    with job.step("rehearsal"):
        bars = Bars(fit_exposure(dataset, settings), Stock.of(dataset, settings.exposure.recall_days))
        reranker = Reranker.from_catalogue(settings.reranking, dataset.catalogue)
        funnel = assemble(channels, bars, job.store, rankers, reranker, settings)
        return rehearse(funnel, list(rankers.items()), question, blend, settings.fusion, settings.seed)


def _decided(settings: Settings, rehearsed: Rehearsal) -> Settings:
    """The settings with what the rehearsal decided of them."""
    if settings.fusion.exposure_power is not None:
        return settings
    fusion = settings.fusion.model_copy(update={"exposure_power": rehearsed.power})
    return settings.model_copy(update={"fusion": fusion})


def _check_answers(funnel: Funnel, last: int, as_of: int, shown: int) -> None:
    """Raises where the funnel fails the user of row `last` or an unknown one, or has nothing for the latter though a
    channel is for everybody."""
    page = check_answers(funnel, [last], as_of, shown)
    everybody = [channel.name for channel in funnel.channels if not channel.personalised]
    if everybody and int(page.counts[0]) == 0:
        raise ValueError(f"build: expected items for an unknown user from {', '.join(everybody)}, got none")


def _check_channels(dataset: Dataset, settings: Mapping[str, ChannelSettings]) -> None:
    """Raises ValueError where no channel with a quota can be built, saying why of each."""
    lacks = {name: kind.needs(dataset) for name, kind in CHANNELS.items() if any(settings[name].quotas.values())}
    if all(lacks.values()):
        why = "; ".join(f"{name}: {lack}" for name, lack in lacks.items()) or "no quota above 0"
        raise ValueError(f"channels: expected at least one that can be built, got none ({why})")


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
        "features": funnel.store,
        **{channel.source.name: channel.source for channel in funnel.channels},
        **{name: ranker for name in RANKERS if (ranker := getattr(funnel, name)) is not None},
    }


def _moved_codes(warm: Engine, dataset: Dataset) -> dict[str, torch.Tensor]:
    """field -> the row that each of today's rows had in the engine that training starts from, -1 where it had none."""
    return {
        "user": torch.from_numpy(warm.users.rows(dataset.users.ids.ids)),
        "item": torch.from_numpy(warm.items.rows(dataset.catalogue.ids.ids)),
    }
