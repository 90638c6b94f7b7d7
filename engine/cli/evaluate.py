"""Commands that part a log and judge lists: split, evaluate."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.funnel import print_rows
from headrace.cli.shared import OverlayFile, SettingsFile, friendly, progress_bar
from headrace.console import say, tell

if TYPE_CHECKING:
    from headrace.data import Dataset
    from headrace.data.holdout import Split
    from headrace.settings import Settings

_WAYS = "time, last, share, leave-one-out, random, fold or bootstrap"
LogFolder = Annotated[Path, typer.Option(help="A KuaiRand-Pure, MovieLens-1M or Headrace folder; detected.")]
Cut = Annotated[
    str | None,
    typer.Option(help="With --by time: the first moment of the test, as 2022-05-07 or 2022-05-07T12:00 (UTC)."),
]
Days = Annotated[float | None, typer.Option(help="With --by time: the test is the last so many days.")]
Share = Annotated[
    float | None, typer.Option(help="With --by time, share or random: the share that is held out; 0.2 without.")
]
N = Annotated[int | None, typer.Option("-n", "--n", help="With --by last: held-out positives of each user.")]
Folds = Annotated[int | None, typer.Option(help="With --by fold: into how many parts; 10 without.")]
Fold = Annotated[int | None, typer.Option(help="With --by fold: which part is the test, from 0; 0 without.")]
PositiveRows = Annotated[
    str,
    typer.Option("--positive", help='Rows that count as wanted: a signal ("click"), or "interest>=2" and the like.'),
]
INTEREST = "interest"


def split(
    log: LogFolder,
    out: Annotated[Path, typer.Option(help="A new folder; train/ and test/ in it are logs that every command reads.")],
    by: Annotated[str, typer.Option(help=f"How: {_WAYS}; docs/evaluation.md says what each means.")] = "time",
    cut: Cut = None,
    days: Days = None,
    share: Share = None,
    n: N = None,
    folds: Folds = None,
    fold: Fold = None,
    seed: Annotated[int, typer.Option(help="Of the draws of random, fold and bootstrap.")] = 0,
    positive: PositiveRows = INTEREST,
    settings: SettingsFile = None,
) -> None:
    """Part a log into a training and a test folder: build on the one, evaluate on the other."""
    from dataclasses import replace

    from headrace.data import write_parquet
    from headrace.kernels import atomic
    from headrace.report.evaluation import split_table
    from headrace.report.terminal import plain_console, rich_table
    from headrace.settings import Settings, load_settings

    with friendly():
        way = _way(by, cut, days, share, n, folds, fold, seed, positive)
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise FileExistsError(f"{out}: expected no such folder yet, or an empty one")
        dataset = _read(log, load_settings(settings) if settings else Settings())
        train, test = way.apply(dataset.log)
        wanted = [int(way.positive.of(side).sum()) for side in (train, test)]
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replace(out) as part:
            write_parquet(dataset.with_log(train), part / "train")
            # What is older than the log is for training alone.
            write_parquet(replace(dataset.with_log(test), history=None), part / "test")
        plain_console().print(rich_table(split_table(way.words(), train, test, wanted)))
        say(f"wrote {out / 'train'} and {out / 'test'}")


def evaluate(
    snapshot: Annotated[
        Path | None, typer.Option(help="A snapshot folder; without one, an engine is built on the training part.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="What the engine is or was trained on; with --by, what is parted.")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="What users went on to do: a log's folder, or one Parquet file of its rows.")
    ] = None,
    by: Annotated[str | None, typer.Option(help=f"Instead of --test, hold out a part of --log: {_WAYS}.")] = None,
    cut: Cut = None,
    days: Days = None,
    share: Share = None,
    n: N = None,
    folds: Folds = None,
    fold: Fold = None,
    k: Annotated[str, typer.Option("-k", "--k", help="Lengths of the lists, separated by commas.")] = "10,20,50",
    users: Annotated[
        int | None, typer.Option(min=1, help="Ask only so many users, drawn by --seed; all without.")
    ] = None,
    positive: PositiveRows = INTEREST,
    at: Annotated[
        str,
        typer.Option(help='Time of the requests: "end" of the training log, "+7" days after it, or a moment (UTC).'),
    ] = "end",
    seed: Annotated[int, typer.Option(help="Of drawn rows and users, and of the build.")] = 0,
    settings: SettingsFile = None,
    overlay: OverlayFile = None,
    out: Annotated[Path | None, typer.Option(help="Keep the snapshot that is built here.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write everything measured to this file.")] = None,
) -> None:
    """Judge an engine: each channel alone, every stage, and yardsticks, on what users went on to want.

    Give --snapshot and --test, best with --log, the log that the snapshot was built on: then what users know from
    there is left out exactly, and yardsticks are fitted on it. Or give --log and --by: a part is held out, and the
    engine is built on the rest. docs/evaluation.md says what is measured.
    """
    from headrace.build import build
    from headrace.evaluation.run import Asked, run
    from headrace.kernels import atomic
    from headrace.report.evaluation import evaluation_sections, evaluation_verdicts
    from headrace.report.terminal import plain_console, print_sections, print_sentences
    from headrace.serving import Engine
    from headrace.settings import Settings, load_settings

    with friendly():
        asked = Asked.of(k, positive, at, users, seed)
        way = None
        if by is not None:
            way = _way(by, cut, days, share, n, folds, fold, seed, positive)
        elif any(one is not None for one in (cut, days, share, n, folds, fold)):
            raise ValueError("by: expected --by with --cut, --days, --share, --n, --folds and --fold, got none")
        _check_sources(snapshot, log, test, way, settings, overlay, out)
        with ExitStack() as stack:
            progress = stack.enter_context(progress_bar())
            engine = None if snapshot is None else Engine.load(snapshot, overlay=overlay)
            chosen = engine.settings if engine else load_settings(settings) if settings else Settings(seed=seed)
            train, future, words = _parts(log, test, way, chosen)
            if engine is None:
                folder = out or Path(stack.enter_context(tempfile.TemporaryDirectory())) / "snapshot"
                assert train is not None
                build(train, chosen, folder, progress)
                engine = Engine.load(folder, overlay=overlay)
            found = run(engine, str(snapshot or out or "built here"), train, future, words, asked, progress)
        print_sections(plain_console(), evaluation_sections(found))
        print_sentences(plain_console(), evaluation_verdicts(found), found.notes)
        if json is not None:
            json.parent.mkdir(parents=True, exist_ok=True)
            with atomic.replace(json) as part:
                part.write_text(found.to_json(), encoding="utf-8")
            say(f"wrote {json}")


def _check_sources(
    snapshot: Path | None,
    log: Path | None,
    test: Path | None,
    way: Split | None,
    settings: Path | None,
    overlay: Path | None,
    out: Path | None,
) -> None:
    if (test is None) == (way is None):
        got = "neither" if test is None else "both"
        raise ValueError(f"test: expected --test, or --by to hold out a part of --log, got {got}")
    if log is None and (way is not None or snapshot is None):
        wants = "--by" if way is not None else "--test without --snapshot"
        raise ValueError(f"log: expected --log with {wants}, got none")
    if snapshot is not None and (settings is not None or out is not None):
        name = "settings" if settings is not None else "out"
        raise ValueError(f"{name}: expected it where an engine is built, got --snapshot too")


def _parts(
    log: Path | None, test: Path | None, way: Split | None, settings: Settings
) -> tuple[Dataset | None, Dataset, str]:
    """The training log, if it is known, the test log, and the split in words."""
    from headrace.evaluation.rows import read_rows

    dataset = None if log is None else _read(log, settings)
    if way is not None:
        assert dataset is not None
        train, future = way.apply(dataset.log)
        return dataset.with_log(train), dataset.with_log(future), way.words()
    assert test is not None
    given = read_rows(test, settings.log_rows, settings.positive_rating)
    print_rows(str(test), given.rows)
    for note in given.notes:
        tell(note)
    return dataset, given, f"the rows of {test}"


def _read(log: Path, settings: Settings) -> Dataset:
    from headrace.data import read

    dataset = read(log, most_rows=settings.log_rows, positive=settings.positive_rating)
    print_rows(dataset.name, dataset.rows)
    for note in dataset.notes:
        tell(note)
    return dataset


def _way(
    by: str,
    cut: str | None,
    days: float | None,
    share: float | None,
    n: int | None,
    folds: int | None,
    fold: int | None,
    seed: int,
    positive: str,
) -> Split:
    from headrace.data.holdout import Split
    from headrace.data.positive import Positive
    from headrace.evaluation.run import moment

    at = None if cut is None else moment("cut", cut)
    return Split(
        by=by, cut=at, days=days, share=share, n=n, folds=folds, fold=fold, seed=seed, positive=Positive.parse(positive)
    )
