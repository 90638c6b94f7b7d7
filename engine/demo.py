"""The main job: a log in, a funnel trained and served, its last days predicted, a report out."""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from headrace import rehearsal
from headrace.build import Built, build
from headrace.console import say
from headrace.data import Dataset, InteractionLog, generate, read, split_at
from headrace.doctor import machine_record
from headrace.evaluation.channels import measure_recall
from headrace.evaluation.evaluate import yardsticks
from headrace.evaluation.exposures import measure_exposure
from headrace.evaluation.held_out import held_out
from headrace.evaluation.offline import measure_diversity, measure_quality, run_held_out
from headrace.evaluation.targets import measure_targets
from headrace.evaluation.timing import measure_funnel
from headrace.kernels import atomic
from headrace.report import page, print_report, write_html
from headrace.report.model import Curve, DatasetSummary, Number, Rehearsal, Report, Training
from headrace.serving import Engine
from headrace.settings import Settings
from headrace.training.loop import LOSS, FitReport
from headrace.training.split import cut_of
from headrace.version import __version__

#: Held-out users that the quality is measured on.
_ASKED = 2000


@dataclass(frozen=True)
class DemoRun:
    """A finished run: its folder and its report."""

    folder: Path
    report: Report

    def print(self) -> None:
        """Prints every table, and where the pages are."""
        print_report(self.report)
        say(f"report: {self.folder / 'report.html'}\nsnapshot: {self.folder / 'snapshot'}")


def run_demo(
    data: Path | None, sizes: tuple[int, int, int], settings: Settings, out: Path, progress: Progress
) -> DemoRun:
    """Reads `data` (or generates a log of `sizes` users, items, events), builds, measures, and writes `out`/<stamp>."""
    page.environment()  # a missing extra should be told before the work, not after it
    started = time.monotonic()
    dataset = _dataset(data, sizes, settings)
    train, test, words = split_last_days(dataset.log)
    seconds = {"read": time.monotonic() - started}
    folder = out / time.strftime("%Y%m%d-%H%M%S")
    past = dataset.with_log(train)
    built = build(past, settings, folder / "snapshot", progress)
    seconds["build"] = time.monotonic() - started - sum(seconds.values())
    engine = Engine.load(folder / "snapshot")
    report = measure(dataset, past, test, words, built, engine, progress)
    seconds["measure"] = time.monotonic() - started - sum(seconds.values())
    notes = [f"{name}: {value:.0f} s" for name, value in seconds.items()]
    report.notes.append("Wall time of the job: " + ", ".join(notes) + f"; {time.monotonic() - started:.0f} s in all.")
    with atomic.replace(folder / "report.json") as part:
        part.write_text(report.to_json())
    write_html(report, folder / "report.html")
    return DemoRun(folder, report)


def _dataset(data: Path | None, sizes: tuple[int, int, int], settings: Settings) -> Dataset:
    if data is None:
        return generate(*sizes, seed=settings.seed).dataset
    return read(data, most_rows=settings.log_rows, positive=settings.positive_rating)


def split_last_days(log: InteractionLog) -> tuple[InteractionLog, InteractionLog, str]:
    """The log before and after a cut: the fewest whole last days that hold a tenth of the rows, as `cut_of` finds them.
    Raises ValueError where all times are alike."""
    cut = cut_of(log.time)
    if cut is None:
        raise ValueError(
            f"log: expected times that part its last rows from the others, got {log.time[0]} to {log.time[-1]}"
        )
    train, test = split_at(log, cut)
    moment = datetime.datetime.fromtimestamp(cut / 1000, datetime.timezone.utc)
    return train, test, f"the rows from {moment:%Y-%m-%d %H:%M} UTC on, {len(test):,} of {len(log):,}"


def measure(
    dataset: Dataset, past: Dataset, test: InteractionLog, words: str, built: Built, engine: Engine, progress: Progress
) -> Report:
    """Every section of the report, from the engine as loaded."""
    funnel, settings, items = engine.funnel, engine.settings, len(dataset.catalogue)
    question = held_out(past.log, test, items, _ASKED, settings.seed)
    beside = yardsticks(funnel, past, settings.seed)
    served = run_held_out(funnel, question, settings.page.shown, progress=progress, beside=beside)
    report = Report(
        title=f"Headrace on {dataset.name}",
        created=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        version=__version__,
        machine=machine_record(),
        dataset=DatasetSummary.of(dataset),
        funnel=measure_funnel(funnel, question, settings.page.shown),
        rehearsal=None if built.rehearsal is None else _rehearsal(built.rehearsal),
        quality=measure_quality(served, funnel, question, words, beside=beside),
        recall=measure_recall({one.name: served.alone[one.name] for one in funnel.channels}, funnel.quotas, question),
        targets=[] if funnel.ranker is None else measure_targets(funnel.ranker, past.log, test, items),
        diversity=measure_diversity(served, funnel, dataset.catalogue),
        exposure=measure_exposure(served, funnel, past.log, question, items),
        training=[_training(fit) for fit in built.fits],
        settings=settings.model_dump(mode="json"),
    )
    report.notes.extend(f"Channel {name} was left out: {why}." for name, why in built.left_out.items())
    report.notes.extend(f"The {name} has no say: {why}." for name, why in built.unlearnt.items())
    report.notes.extend(f"The {name} is served by torch, not by the kernel: {why}." for name, why in built.slow.items())
    report.notes.extend(f"{words}." for words in built.notes)
    report.notes.append(f"Trained on the rows before the cut; measured on {words}.")
    report.notes.append(
        "Statistics are frozen at the cut, as a snapshot serves them; nothing after the cut enters any feature."
    )
    return report


def _rehearsal(one: rehearsal.Rehearsal) -> Rehearsal:
    blends = {part: verdict.blend for part, verdict in one.verdicts.items() if verdict.blend is not None}
    return Rehearsal(
        one.cut,
        one.requests,
        one.chosen,
        {part: dict(verdict.quality) for part, verdict in one.verdicts.items()},
        {part: blend.weights for part, blend in blends.items()},
        one.power,
        one.lost,
    )


def _training(fit: FitReport) -> Training:
    curves = [Curve("training", [float(step) for step, _ in fit.losses], [value for _, value in fit.losses])]
    if fit.validations:
        checked: list[Number] = [found[LOSS] for _, found in fit.validations]
        curves.append(Curve("validation", [float(step) for step, _ in fit.validations], checked))
    return Training(
        fit.label,
        fit.parameters,
        fit.rows * fit.steps // fit.per_epoch,
        fit.seconds,
        fit.losses[-1][1] if fit.losses else None,
        curves,
        network=fit.network,
        epochs=fit.steps / fit.per_epoch,
        kept_epochs=fit.kept / fit.per_epoch,
        validation=dict(next((found for step, found in fit.validations if step == fit.kept), {})),
    )
