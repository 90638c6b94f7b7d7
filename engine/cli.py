"""The command line. Each command reads settings, calls one function, and prints."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from headrace.data import RowReport

# Read when torch loads: threads that spin while they wait cost several times the work on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

app = typer.Typer(
    help="Headrace: a recommender engine in which every stage of the funnel is one batched kernel.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
errors = Console(stderr=True)

SettingsFile = Annotated[Path | None, typer.Option("--settings", help="A TOML file of settings; see docs/settings.md.")]


@contextmanager
def _friendly() -> Iterator[None]:
    """What a user can mend is printed in one line; anything else is a defect and keeps its traceback."""
    try:
        yield
    except (ValueError, TypeError, OSError, ImportError) as error:
        errors.print(f"[bold red]error:[/] {error}", soft_wrap=True, highlight=False)
        raise typer.Exit(2) from error


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=errors,
    )


def _print_rows(name: str, rows: RowReport) -> None:
    dropped = "".join(f", dropped {count:,} ({reason})" for reason, count in rows.dropped.items())
    errors.print(f"{name}: read {rows.read:,} rows, kept {rows.kept:,}{dropped}", highlight=False)


@app.command()
def doctor() -> None:
    """Show the machine, the libraries, and which backends each kernel has."""
    from headrace.doctor import print_report

    with _friendly():
        print_report(Console())


@app.command()
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

    with _friendly():
        write_parquet(make(users, items, events, seed).dataset, out)
        Console().print(f"wrote {events:,} events of {users:,} users and {items:,} items to {out}")


@app.command()
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

    with _friendly(), _progress() as progress:
        chosen = load_settings(settings) if settings else Settings()
        dataset = read(log)
        _print_rows(dataset.name, dataset.rows)
        make(dataset, chosen, out, progress, Engine.load(warm) if warm else None)
        Console().print(f"wrote snapshot {out}")


@app.command()
def recommend(
    snapshot: Annotated[Path, typer.Option(help="A snapshot folder.")],
    users: Annotated[str, typer.Option(help="User ids separated by commas, or - for standard input.")],
    k: Annotated[int | None, typer.Option("-k", "--k", min=1, help="Items a page.")] = None,
    reasons: Annotated[bool, typer.Option(help="Add stage scores and what was removed.")] = False,
) -> None:
    """Print one JSON line a user: the page's items, scores and channels."""
    from headrace.serving import Engine

    with _friendly():
        engine = Engine.load(snapshot)
        words = (
            sys.stdin.read().split() if users == "-" else [word.strip() for word in users.split(",") if word.strip()]
        )
        for page in engine.recommend(engine.parse_ids(words), k, reasons=reasons):
            row = dataclasses.asdict(page)
            if page.reasons is None:
                del row["reasons"]
            print(json.dumps(row))
        errors.print(", ".join(f"{name}: {count}" for name, count in engine.counters.items()), highlight=False)


@app.command()
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

    with _friendly():
        chosen = load_settings(settings) if settings else Settings(seed=seed)
        with _progress() as progress:
            run = run_demo(data, (users, items, events), chosen, out, progress)
        run.print(Console())
