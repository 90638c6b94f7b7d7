"""A load run's tables, charts and page."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from headrace.kernels import atomic
from headrace.loadtest.capacity import capacity_sentence, many, sizes, verdicts
from headrace.loadtest.charts import charts
from headrace.loadtest.model import LoadReport, Step
from headrace.report import formats as f
from headrace.report.html import machine_facts
from headrace.report.page import Page, Section, Table, write
from headrace.report.tables import machine_table
from headrace.report.terminal import plain_console, print_sections, print_sentences


def print_load(report: LoadReport, console: Console | None = None) -> None:
    """Prints every table, what they say, and last the capacity sentence."""
    console = console or plain_console()
    console.print(Text(f"Load on {report.target}", style="bold"))
    console.print(Text(f"{report.created}, headrace {report.version}, {report.machine.cpu}", style="dim"))
    print_sections(console, sections(report))
    print_sentences(console, verdicts(report), notes(report))
    console.print()
    console.print(Text(capacity_sentence(report), style="bold"))


def write_load(report: LoadReport, folder: str | os.PathLike[str]) -> list[Path]:
    """Writes load.json and load.html into `folder`, each whole or not at all; returns their paths."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    with atomic.replace(out / "load.json") as part:
        part.write_text(report.to_json(), encoding="utf-8")
    return [out / "load.json", write(_page(report), out / "load.html")]


def sections(report: LoadReport) -> list[Section]:
    """What was measured, in reading order."""
    made = [
        Section("offered", "Latency and throughput", _offered_tables(report)),
        Section("batches", "Batch sizes", [_sweep(report.batches, "users a call")] if report.batches else []),
        Section("threads", "Threads", [_sweep(report.threads, "threads")] if report.threads else []),
        Section("workers", "Connections", [_sweep(report.workers, "connections")] if report.workers else []),
    ]
    return [section for section in made if section.tables]


def notes(report: LoadReport) -> list[str]:
    """How to read the numbers."""
    plan = report.plan
    out = [
        "Offered loads are open loops: requests are due at Poisson arrivals, answered or not, and a latency counts "
        "from when its request was due, so that a stalled target cannot hide the requests that waited behind it.",
        f"Offered loads run with {sizes(report)}; shares are of the closed loop's rate at the same sizes. "
        + (
            "A free worker sends what is due by then, up to the batch."
            if plan.gather
            else "The users of a batch arrive together."
        ),
        "Sweeps and the capacity are closed loops: each worker sends its next call when the last one came back, and a "
        "latency is a call's own.",
        f"Each step measures {f.duration(plan.seconds)} after {f.duration(plan.warm_up)} of warm-up. Percentiles are "
        "of recorded latencies, without buckets; p99.9 of fewer than 1,000 requests is their maximum.",
    ]
    if report.in_process:
        out.append(
            "The load generator shares the process with the engine, and its work is in all numbers. Requests per core: "
            f"divided by the cores that its threads can use, of {report.cores}."
        )
    else:
        out.append("The load generator shares the machine with the server.")
    return out


def _page(report: LoadReport) -> Page:
    plan = report.plan
    facts = [
        *machine_facts(report.machine),
        ("Target", report.target),
        ("Offered loads with", sizes(report)),
        ("Each step", f"{f.duration(plan.seconds)} measured after {f.duration(plan.warm_up)} of warm-up"),
    ]
    where = Section("machine", "Machine", [machine_table(report.machine)])
    drawn = charts(report)
    return Page(
        "Headrace under load",
        capacity_sentence(report),
        facts,
        [replace(section, charts=drawn.get(section.key, [])) for section in [*sections(report), where]],
        f"Headrace {report.version}, {report.created}",
        verdicts(report),
        notes(report),
    )


def _offered_tables(report: LoadReport) -> list[Table]:
    return [
        *([_offered(report)] if report.closed else []),
        *([_from_send(report)] if report.offered else []),
    ]


def _offered(report: LoadReport) -> Table:
    steps = [*([report.closed] if report.closed else []), *report.offered]
    trouble, cells = _failed(steps)
    rows = [
        [
            "closed" if step.load is None else f.percent(step.load, 0),
            f.DASH if step.load is None else "saturated" if step.saturated else "kept up",
            f.significant(step.offered),
            f.significant(step.achieved),
            *_latencies(step)[:3],
            f.count(step.requests),
            f.significant(step.mean_batch, 2),
            *([f.fixed(step.busy, 2)] if report.in_process else []),
            *extra,
        ]
        for step, extra in zip(steps, cells, strict=True)
    ]
    busy = ["cores"] if report.in_process else []
    columns = ["load", "target", "offered", "answered", *_LATENCIES[:3], "requests", "a call", *busy, *trouble]
    note = "offered, answered: requests/s. p50, p99, p99.9: milliseconds from when due. a call: users a call, mean."
    if report.in_process:
        note += " cores: kept busy by this process, mean."
    if report.closed:
        note += f" load: share of the closed loop's {f.significant(report.closed.achieved)} requests/s."
    if any(step.saturated for step in steps):
        note += " saturated: the backlog grew through the step, so its latencies depend on how long the step was."
    if given_up := [f"{f.count(step.unsent)} at {f.percent(step.load, 0)}" for step in steps if step.unsent]:
        note += f" Given up unsent, and counted with the time that they had waited: {', '.join(given_up)}."
    return Table("Offered loads", columns, rows, 2, note=note)


def _from_send(report: LoadReport) -> Table:
    rows = [
        [
            f.percent(step.load, 0),
            *(f.significant(value) for pair in _pairs(step) for value in pair),
        ]
        for step in report.offered
    ]
    columns = ["load", *(f"{name} {since}" for name in _LATENCIES for since in ("due", "sent"))]
    note = "Milliseconds from when a request was due, and from when it was sent: the gap is its wait for a call."
    return Table("What counting from the send would hide", columns, rows, note=note)


def _pairs(step: Step) -> list[tuple[float | None, float | None]]:
    a, b = step.latency, step.latency_from_send
    return [(a.p50, b.p50), (a.p99, b.p99), (a.p999, b.p999), (a.max, b.max)]


def _sweep(steps: list[Step], by: str) -> Table:
    best = max(step.achieved for step in steps)
    in_process = steps[0].busy is not None
    trouble, cells = _failed(steps)
    rows = [
        [
            f.count({"users a call": step.batch, "threads": step.threads, "connections": step.workers}[by]),
            f.significant(step.achieved),
            f.fixed(step.achieved / steps[0].achieved if steps[0].achieved else None, 2),
            *_latencies(step),
            f.count(round(step.requests / step.batch)),
            *([f.fixed(step.busy, 2)] if in_process else []),
            *extra,
        ]
        for step, extra in zip(steps, cells, strict=True)
    ]
    busy = ["cores"] if in_process else []
    columns = [by, "requests/s", "times the first", *_LATENCIES, "calls", *busy, *trouble]
    marked = [row for row, step in enumerate(steps) if step.achieved == best] if len(steps) > 1 else []
    note = "p50, p99, p99.9, max: milliseconds of a whole call."
    return Table(f"Closed loop, {_kept(steps[0], by)}", columns, rows, 1, marked, "most requests/s", note)


def _kept(step: Step, by: str) -> str:
    """What a sweep keeps the same."""
    parts = {
        "users a call": many(step.batch, "user", "a call"),
        "threads": many(step.threads, "thread") if step.busy is not None else "",
        "connections": many(step.workers, "call", "at once"),
    }
    return ", ".join(words for name, words in parts.items() if name != by and words)


_LATENCIES = ("p50", "p99", "p99.9", "max")  # in milliseconds


def _latencies(step: Step) -> list[str]:
    x = step.latency
    return [f.significant(value) for value in (x.p50, x.p99, x.p999, x.max)]


def _failed(steps: list[Step]) -> tuple[list[str], list[list[str]]]:
    """A column that is there only where something went wrong."""
    if not any(step.errors for step in steps):
        return [], [[] for _ in steps]
    return ["errors"], [[f.count(step.errors)] for step in steps]
