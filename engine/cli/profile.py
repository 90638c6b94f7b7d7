"""The command that shows where a funnel's time goes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.shared import friendly, progress_bar
from headrace.console import tell, terminal

if TYPE_CHECKING:
    from rich.progress import Progress

    from headrace.serving import Engine

#: Sizes of the synthetic log where none are given: a minute's work.
_USERS, _ITEMS, _EVENTS = 2_000, 20_000, 200_000


def profile(
    snapshot: Annotated[
        Path | None, typer.Option(help="A snapshot folder; without one, a funnel is trained on a synthetic log.")
    ] = None,
    users: Annotated[int | None, typer.Option(min=1, help=f"Synthetic users; {_USERS:,} where not given.")] = None,
    items: Annotated[int | None, typer.Option(min=1, help=f"Synthetic items; {_ITEMS:,} where not given.")] = None,
    events: Annotated[int | None, typer.Option(min=1, help=f"Synthetic events; {_EVENTS:,} where not given.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Requests a batch.")] = 64,
    batches: Annotated[int, typer.Option(min=1, help="Batches to record; as many run unrecorded beside them.")] = 40,
    threads: Annotated[int, typer.Option(min=0, help="Threads of kernels and torch; 0: the process setting.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, help="Callers that ask at the same time.")] = 1,
    torch: Annotated[
        bool, typer.Option("--torch/--no-torch", help="Add torch's operators to trace and flame graph; costs more.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Of the synthetic log and of the users asked.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for profile.json, trace.json and flame.html.")] = Path(
        "runs/profile"
    ),
) -> None:
    """Show where the funnel's time goes: a table of stages and kernels, a trace, and a flame graph.

    The engine is asked for pages by --concurrency callers, in batches of --batch users. Open flame.html in a browser,
    and trace.json in https://ui.perfetto.dev or chrome://tracing; docs/profiling.md says how to read them.
    """
    # Read when torch loads: its profiler would report its own start and stop in the middle of the progress bars.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    from headrace.profiling import Load, check_folder, print_profile, write
    from headrace.profiling import profile as run
    from headrace.report import page

    with friendly():
        load = Load(batch, batches, threads, concurrency, torch, seed)
        if snapshot and (users or items or events):
            raise ValueError("--snapshot: expected alone, got --users, --items or --events with it")
        check_folder(out)
        page.environment()  # a missing extra should be told before the work, not after it
        with progress_bar() as progress:
            engine = _engine(snapshot, (users or _USERS, items or _ITEMS, events or _EVENTS), seed, out, progress)
            found = run(engine, load, progress)
        paths = write(found, out)
        print_profile(found, terminal())
        for path in paths:
            tell(f"wrote {path}")


def _engine(snapshot: Path | None, sizes: tuple[int, int, int], seed: int, out: Path, progress: Progress) -> Engine:
    """The engine of a snapshot, or one trained on a synthetic log and kept in `out`/snapshot."""
    from headrace.build import build
    from headrace.data import generate
    from headrace.serving import Engine
    from headrace.settings import Settings

    if snapshot:
        return Engine.load(snapshot)
    build(generate(*sizes, seed=seed).dataset, Settings(seed=seed), out / "snapshot", progress)
    tell(f"kept the trained funnel: --snapshot {out / 'snapshot'}")
    return Engine.load(out / "snapshot")
