"""`headrace bench check`: builds, measures, counts, prints, and says whether anything got worse."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from headrace.benchmarks.guard.check import Choice, Guard, Outcome
from headrace.benchmarks.guard.client import Process, Trouble
from headrace.benchmarks.guard.count import Counts, count
from headrace.benchmarks.guard.revisions import checkout, prepare
from headrace.benchmarks.harness.compare import alone, compare
from headrace.benchmarks.harness.table import print_differences

#: Counts further apart than this are told.
NOTABLE = 1.001


def guard(
    base: str | None, choice: Choice, threads: int, out: Path, console: Console, bar: Callable[[], Progress]
) -> bool:
    """Whether nothing is slower or wrong. Raises ValueError when a revision cannot be built or has no such case."""
    a, b, how = prepare(checkout(), base)
    console.print(f"A: {a.name} ({how})\nB: {b.name} (this checkout)")
    try:
        first, second = Process(a.name, a.folder, threads), Process(b.name, b.folder, threads)
        with first, second, bar() as progress:
            outcome = Guard(first, second).measure(choice, progress)
    except Trouble as trouble:
        raise ValueError(str(trouble)) from trouble
    moment = time.strftime("%Y-%m-%d-%H%M%S")
    for letter, results, revision in (("a", outcome.a, a), ("b", outcome.b, b)):
        results.rows = [replace(row, commit=revision.commit) for row in results.rows]
        results.save(out / f"{moment}-check-{letter}.json")
    better = report(outcome, console)
    counts: Counts = {" ".join(key): pair for key, pair in outcome.counts.items()}
    how = "one thread, the processor's counter"
    reasons = [outcome.no_counts]
    if outcome.no_counts:
        how = "one thread, callgrind, AVX2 on x86"
        counts, reason = count(a, b)
        reasons.append(reason)
    if counts:
        print_counts(counts, how, console)
    else:
        console.print(f"instructions: not available ({'; '.join(reasons)})")
    console.print(f"wrote {out / moment}-check-a.json and {moment}-check-b.json", soft_wrap=True)
    return better


def report(outcome: Outcome, console: Console) -> bool:
    """Prints the comparison. Whether nothing is slower in B, and B answers all that it has."""
    differences = compare(outcome.a, outcome.b)
    print_differences([*differences, *alone(outcome.a, outcome.b)], console)
    return not any(one.verdict == "slower" for one in differences) and not any(row.error for row in outcome.b.rows)


def print_counts(counts: Counts, how: str, console: Console) -> None:
    """Instructions of both, which no noise moves."""
    table = Table(title=f"Instructions ({how})", title_justify="left")
    table.add_column("case")
    for heading in ("A", "B", "B / A"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for name, (a, b) in counts.items():
        if a is None or b is None:
            table.add_row(name, *("-" if one is None else f"{one:,}" for one in (a, b)), "", "only in one")
            continue
        ratio = b / a
        notable = Text("more", "red") if ratio > 1 else Text("fewer", "green")
        word = Text() if 1 / NOTABLE <= ratio <= NOTABLE else notable
        table.add_row(name, f"{a:,}", f"{b:,}", f"{ratio:.4f}", word)
    console.print(table)
