"""A profile written down: profile.json, trace.json, flame.html, and tables in the terminal."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from headrace.kernels import atomic
from headrace.profiling import flame, table
from headrace.profiling.profile import Profile
from headrace.profiling.trace import write_trace
from headrace.report import formats as f
from headrace.report import page
from headrace.report.terminal import rich_table

#: Columns that the tables need; a pipe gets as many.
WIDTH = 120


def check_folder(out: Path) -> None:
    """Makes the folder. Raises OSError, saying why, where it cannot be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise OSError(f"out: expected a folder that can be written, got {out}: {error.strerror}") from error


def write(found: Profile, out: Path) -> list[Path]:
    """Writes the three files into `out` and returns their paths. ImportError without the extra `report`."""
    result, trace, graph = out / "profile.json", out / "trace.json", out / "flame.html"
    with atomic.replace(result) as part:
        part.write_text(found.to_json(), encoding="utf-8")
    write_trace(found.spans, {"machine": found.machine, "load": dataclasses.asdict(found.load)}, trace)
    page.write(_page(found), graph)
    return [result, trace, graph]


def print_profile(found: Profile, console: Console) -> None:
    """Prints the tables and what recording cost."""
    if not console.is_terminal:
        console.width = WIDTH
    for each in _tables(found):
        drawn = rich_table(each)
        for column in drawn.columns:
            column.no_wrap = True
        console.print(drawn)
        console.print(Text(f"  {each.note}\n", style="dim"))
    for sentence in sentences(found):
        console.print(Text(sentence))


def sentences(found: Profile) -> list[str]:
    """How fast it was, and what recording cost, in words."""
    load, cost = found.load, found.overhead
    many = "callers" if load.concurrency > 1 else "caller"
    kernels = sum(row.share for row in found.rows if row.kind == "kernel")
    outside = next(row.share for row in found.rows if row.level == 1 and row.kind is None)
    told = [
        f"{f.count(round(found.requests_per_second))} requests/s with recording off ({load.concurrency} {many}, "
        f"batches of {load.batch}). A recorded batch takes {f.significant(found.p50_ms)} ms (p50), "
        f"{f.significant(found.p99_ms)} ms (p99).",
        f"{f.percent(kernels)} of the time is in kernels, {f.percent(1 - kernels - outside)} in the stages' torch and "
        f"Python, {f.percent(outside)} outside the stages: ids in, pages out.",
        f"Recording off: {f.count(cost.spans)} spans a batch of {f.significant(cost.off_ns)} ns each are "
        f"{f.rate(cost.off_share)} of a batch's time.",
        f"Recording on: {f.significant(cost.on_ns / 1e3)} us a span, {f.rate(cost.on_share)}; the time of batches "
        f"changed by {_signed(cost.change)} (median of {cost.pairs} pairs in turns, quartiles {_signed(cost.low)} to "
        f"{_signed(cost.high)}).",
    ]
    if found.traced_share is not None:
        told.append(
            f"torch.profiler on: the time of batches changed by {_signed(found.traced_share)}. Trace and flame graph "
            "show those batches; the table of stages does not."
        )
    return told


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}%"


def _tables(found: Profile) -> list[page.Table]:
    made = [table.stage_table(found.rows, found.load.batches, found.load.batch)]
    return [*made, table.operator_table(found.operators)] if found.operators else made


def _page(found: Profile) -> page.Page:
    load, facts = found.load, found.machine
    stages = [row for row in found.rows if row.level == 1]
    slowest = max(stages, key=lambda row: row.share)
    graph = flame.draw(flame.frames(found.traced))
    tables = _tables(found)
    return page.Page(
        title="Profile of the funnel",
        headline=f"{f.count(round(found.requests_per_second))} requests/s in batches of {load.batch}; "
        f"{slowest.name.replace('_', ' ')} takes {f.percent(slowest.share, 0)} of the time",
        facts=[
            ("Machine", facts["cpu"]),
            ("Instruction set", facts["isa"]),
            ("Threads", f"{load.threads or facts['threads']} of {facts['cores']} cores"),
            ("Load", f"{load.batches} batches of {load.batch}, {load.concurrency} at a time"),
        ],
        sections=[
            page.Section("flame", "Flame graph", drawings=[graph]),
            page.Section("stages", "Stages and kernels", tables[:1]),
            *([page.Section("torch", "torch operators", tables[1:])] if tables[1:] else []),
        ],
        footer=f"Headrace {facts['headrace']}, torch {facts['torch']}",
        notes=sentences(found),
    )
