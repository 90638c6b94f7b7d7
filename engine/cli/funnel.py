"""Commands that make and serve a funnel: doctor, settings, generate, build, recommend, demo."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.shared import OneUser, OverlayFile, SettingsFile, Users, friendly, progress_bar, user_words
from headrace.console import say, tell

if TYPE_CHECKING:
    from headrace.data import RowReport
    from headrace.serving import Engine


def print_rows(name: str, rows: RowReport) -> None:
    dropped = "".join(f", dropped {count:,} ({reason})" for reason, count in rows.dropped.items())
    unit = f", times in {rows.unit}" if rows.unit != "milliseconds" else ""
    late = f", {rows.late:,} out of order" if rows.late else ""
    tell(f"{name}: read {rows.read:,} rows{unit}, kept {rows.kept:,}{late}{dropped}")


def doctor() -> None:
    """Show the machine, the libraries, and which backends each kernel has."""
    from headrace.doctor import print_report
    from headrace.report.terminal import plain_console

    with friendly():
        print_report(plain_console())


def settings() -> None:
    """Print every setting, its range, default and meaning, as a page of Markdown."""
    from headrace.report.settings_page import settings_page
    from headrace.settings import Settings

    with friendly():
        print(settings_page(Settings()), end="")


def generate(
    out: Annotated[Path, typer.Option(help="Folder to write log.parquet, catalogue.parquet, users.parquet to.")],
    users: Annotated[int, typer.Option(min=1)] = 20_000,
    items: Annotated[int, typer.Option(min=1)] = 100_000,
    events: Annotated[int, typer.Option(min=1)] = 2_000_000,
    seed: int = 0,
) -> None:
    """Write a synthetic log with planted structure, the same for the same seed."""
    from headrace.data import generate as make
    from headrace.data import write_parquet
    from headrace.data.parquet import check_replaceable

    with friendly():
        # Nobody's real log is lost to a synthetic one.
        check_replaceable(out, "synthetic")
        write_parquet(make(users, items, events, seed).dataset, out)
        say(f"wrote {events:,} events of {users:,} users and {items:,} items to {out}")


def build(
    log: Annotated[Path, typer.Option(help="A KuaiRand-Pure, MovieLens-1M or Headrace folder; detected.")],
    out: Annotated[Path, typer.Option(help="The snapshot folder; one that is there is replaced at the end.")],
    settings: SettingsFile = None,
    warm: Annotated[Path | None, typer.Option(help="An older snapshot whose models training starts from.")] = None,
) -> None:
    """Train every stage on a log and write a snapshot. Run again after an interruption, it goes on."""
    from headrace.build import build as make
    from headrace.data import read
    from headrace.serving import Engine
    from headrace.settings import Settings, load_settings
    from headrace.snapshot import check_folder

    with friendly(), progress_bar() as progress:
        check_folder(out)  # before a log is read that may take minutes
        chosen = load_settings(settings) if settings else Settings()
        dataset = read(log, most_rows=chosen.log_rows, positive=chosen.positive_rating)
        print_rows(dataset.name, dataset.rows)
        if dataset.history_rows is not None:
            print_rows(f"{dataset.name}, history", dataset.history_rows)
        for note in dataset.notes:
            tell(note)
        built = make(dataset, chosen, out, progress, Engine.load(warm) if warm else None)
        for name, why in built.left_out.items():
            tell(f"channel {name} was left out: {why}")
        for name, why in built.unlearnt.items():
            tell(f"{name} has no say: {why}")
        for name, why in built.slow.items():
            tell(f"{name} is served by torch, not by the network kernel: {why}")
        for words in built.notes:
            tell(words)
        say(f"wrote snapshot {out}")


def recommend(
    snapshot: Annotated[Path, typer.Option(help="A snapshot folder.")],
    users: Users = None,
    user: OneUser = None,
    all_users: Annotated[
        bool, typer.Option("--all-users", help="Every user of the snapshot; the lists go to --out.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="With --all-users: a Parquet file of user, rank, item, score, channels.")
    ] = None,
    channel: Annotated[
        str | None, typer.Option(help="Lists of this recall channel alone, with its scores, e.g. itemcf.")
    ] = None,
    k: Annotated[int | None, typer.Option("-k", "--k", min=1, help="Items a page.")] = None,
    reasons: Annotated[bool, typer.Option(help="Add stage scores and what was removed.")] = False,
    overlay: OverlayFile = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say on standard error what was counted.")] = False,
) -> None:
    """Print one JSON line a user: the page's items, scores and channels. Or write the pages of all users to a file."""
    from headrace.serving import Engine

    with friendly():
        if all_users != (out is not None):
            raise ValueError(f"out: expected both --all-users and --out, got only {'--out' if out else '--all-users'}")
        if all_users and (users is not None or user or reasons):
            raise ValueError("all-users: expected it without --users, --user and --reasons, got both")
        if reasons and channel is not None:
            raise ValueError("reasons: expected it without --channel, got both")
        engine = Engine.load(snapshot, overlay=overlay)
        if out is not None:
            _write_all(engine, out, k, channel)
            return
        words = user_words(users, user)
        if words is None:
            raise ValueError("users: expected --users, --user or --all-users, got none")
        ids = engine.parse_ids(words)
        pages = engine.recommend(ids, k, reasons=reasons) if channel is None else engine.recall(ids, channel, k)
        for page in pages:
            row = dataclasses.asdict(page)
            if page.reasons is None:
                del row["reasons"]
            print(json.dumps(row))
        if verbose:
            tell(", ".join(f"{name}: {count}" for name, count in engine.counters.items()))


def _write_all(engine: Engine, out: Path, k: int | None, channel: str | None) -> None:
    from headrace.serving.export import write_lists

    with progress_bar() as progress:
        rows = write_lists(engine, out, k, channel=channel, progress=progress)
    say(f"wrote {rows:,} rows of {len(engine.users):,} users to {out}")


def demo(
    data: Annotated[Path | None, typer.Option(help="A folder with a log, as for build; synthetic without.")] = None,
    users: Annotated[int, typer.Option(min=1, help="Synthetic users.")] = 20_000,
    items: Annotated[int, typer.Option(min=1, help="Synthetic items.")] = 100_000,
    events: Annotated[int, typer.Option(min=1, help="Synthetic events.")] = 2_000_000,
    seed: int = 0,
    out: Annotated[Path, typer.Option(help="Folder for runs.")] = Path("runs"),
    settings: SettingsFile = None,
) -> None:
    """Train, index and serve a log; measure the funnel on its last days; write a report."""
    from headrace.demo import run_demo
    from headrace.settings import Settings, load_settings

    with friendly():
        chosen = load_settings(settings) if settings else Settings(seed=seed)
        with progress_bar() as progress:
            run = run_demo(data, (users, items, events), chosen, out, progress)
        run.print()
