"""`headrace bench`: every kernel and the whole funnel beside what people use today."""

from __future__ import annotations

import os
import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.shared import friendly, progress_bar
from headrace.console import say, tell_error, terminal

app = typer.Typer(
    help="Measure kernels and the funnel beside their peers; compare and report results.", invoke_without_command=True
)


class Suite(str, Enum):
    quick = "quick"
    full = "full"


class Peers(str, Enum):
    all = "all"
    installed = "installed"
    none = "none"


class Device(str, Enum):
    cpu = "cpu"
    cuda = "cuda"


ResultsFile = Annotated[Path, typer.Argument(help="A results file of `headrace bench`.")]


@app.callback()
def bench(
    context: typer.Context,
    suite: Annotated[Suite, typer.Option(help="quick: under 5 minutes on 2 cores. full: under 40.")] = Suite.quick,
    op: Annotated[list[str] | None, typer.Option(help="Only this op; may be given several times.")] = None,
    case: Annotated[
        list[str] | None, typer.Option(help='Only cases with this in their name, e.g. "B64"; several times for more.')
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="Threads for everyone; 0: the cores of this process.")] = 0,
    isa: Annotated[str | None, typer.Option(help="scalar, avx2, avx512 or amx; the best here if not given.")] = None,
    device: Annotated[Device, typer.Option(help="Where the kernels run.")] = Device.cpu,
    peers: Annotated[Peers, typer.Option(help="all: insist on every peer. none: only our own.")] = Peers.installed,
    out: Annotated[Path, typer.Option(help="Folder for the JSON file.")] = Path("runs/bench"),
) -> None:
    """Check every answer, time what was right, print tables, write one JSON file."""
    if context.invoked_subcommand:
        return
    from headrace.benchmarks.harness.runner import Options, run
    from headrace.benchmarks.harness.table import print_results
    from headrace.report.terminal import plain_console

    with friendly():
        options = Options(suite.value, tuple(op or ()), tuple(case or ()), threads, isa, device.value, peers.value)
        with progress_bar() as progress:
            results = run(options, progress)
        print_results(results, plain_console())
        first = results.rows[0]
        path = out / f"{time.strftime('%Y-%m-%d-%H%M%S')}-{suite.value}-{first.isa}-{first.threads}threads.json"
        results.save(path)
        say(f"wrote {path}")
        if any(row.error for row in results.rows):
            tell_error("some answers were wrong or failed; see the table")
            raise typer.Exit(1)


@app.command()
def compare(
    a: ResultsFile,
    b: ResultsFile,
) -> None:
    """Print B's times by A's, with the noise that the runs showed; exits with 1 when something is slower."""
    from headrace.benchmarks.harness.compare import compare as differences
    from headrace.benchmarks.harness.results import Results
    from headrace.benchmarks.harness.table import print_differences
    from headrace.report.terminal import plain_console

    with friendly():
        found = differences(Results.load(a), Results.load(b))
        if not found:
            raise ValueError(f"{a} and {b} have no measurement in common")
        print_differences(found, plain_console())
        if any(one.verdict in ("slower", "no time") for one in found):
            raise typer.Exit(1)


@app.command()
def report(
    results: ResultsFile,
    out: Annotated[Path | None, typer.Option(help="The page; beside the results if not given.")] = None,
) -> None:
    """Write one self-contained HTML page: speed-ups, roofline, scaling curves, tables, the machine."""
    from headrace.benchmarks.harness.results import Results
    from headrace.benchmarks.report import page_of
    from headrace.report.page import write

    with friendly():
        path = write(page_of(Results.load(results)), out or results.with_suffix(".html"))
        say(f"wrote {path}")


@app.command()
def table(
    results: ResultsFile,
    op: Annotated[str, typer.Option(help="Only this op, with every provider; else one line a case.")] = "",
    write: Annotated[Path | None, typer.Option(help="A file with markers to put the table between.")] = None,
) -> None:
    """Print the results as a Markdown table, or put it into the README or a page of docs/."""
    from headrace.benchmarks.harness.results import Results
    from headrace.benchmarks.report import markdown, op_markdown, rewrite

    with friendly():
        # A page links to the file from where it lies.
        name = os.path.relpath(results, write.parent) if write else str(results)
        found = Results.load(results)
        text = op_markdown(found, name, op) if op else markdown(found, name)
        if write is None:
            print(text, end="")
        else:
            rewrite(write, text)
            say(f"wrote the table into {write}")


@app.command()
def recall(
    results: Annotated[
        Path | None, typer.Argument(help="A results file with op ann; measured anew if not given.")
    ] = None,
    write: Annotated[Path, typer.Option(help="The picture.")] = Path("runs/bench/ann.svg"),
    case: Annotated[str, typer.Option(help="Only cases with this in their name.")] = "",
    threads: Annotated[int, typer.Option(min=0, help="Threads for everyone; 0: the cores of this process.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the JSON file.")] = Path("runs/bench"),
) -> None:
    """Draw recall against latency of approximate search, the exact index beside it, as an SVG file."""
    from headrace.benchmarks.harness.results import Results
    from headrace.benchmarks.harness.runner import Options, run
    from headrace.benchmarks.report.recall import OP, recall_drawing
    from headrace.kernels import atomic

    with friendly():
        if results is None:
            with progress_bar() as progress:
                measured = run(Options("full", (OP,), (case,) if case else (), threads), progress)
            first = measured.rows[0]
            results = out / f"{time.strftime('%Y-%m-%d-%H%M%S')}-{OP}-{first.isa}-{first.threads}threads.json"
            measured.save(results)
            say(f"wrote {results}")
        drawn = recall_drawing(Results.load(results))
        write.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replace(write) as part:
            part.write_text(drawn, encoding="utf-8")
        say(f"wrote {write}")


@app.command()
def check(
    base: Annotated[str | None, typer.Option(help="Revision to compare with; where the branch left main.")] = None,
    op: Annotated[list[str] | None, typer.Option(help="Only this op; may be given several times.")] = None,
    case: Annotated[str, typer.Option(help="Only cases with this in their name.")] = "",
    threads: Annotated[int, typer.Option(min=0, help="Threads for both; 0: the cores of this process.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for both JSON files.")] = Path("runs/bench"),
) -> None:
    """Build a base revision beside this one and time both in turns; exits with 1 when something is slower or wrong."""
    from headrace.benchmarks.guard.check import Choice
    from headrace.benchmarks.guard.command import guard

    with friendly():
        if not guard(base, Choice("quick", tuple(op or ()), case), threads, out, terminal(), progress_bar):
            raise typer.Exit(1)
