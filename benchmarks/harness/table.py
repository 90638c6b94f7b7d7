"""Results as tables for people."""

from __future__ import annotations

import math
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headrace.benchmarks.harness.compare import Difference
from headrace.benchmarks.harness.results import Results, Row

#: Said in the words of the answer already.
_SAID = "share right"


def print_results(results: Results, console: Console) -> None:
    """One table a case: every provider's time, and how many times longer than ours it takes."""
    for (op, case), group in groupby(results.rows, key=lambda row: (row.op, row.case)):
        rows = list(group)
        limit = next((f", limited by {row.limit}" for row in rows if row.limit), "")
        table = _table(f"{op}: {case}{limit}", "provider")
        for heading in ("median ms", "min", "p99", "x ours", "of limit"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("answer")
        ours = [row.median for row in rows if row.kind == "headrace" and row.median]
        for row in rows:
            _add_row(table, row, min(ours, default=None))
        console.print(table)
        _print_metrics(f"{op}: {case}", [row for row in rows if set(row.metrics) - {_SAID}], console)
    for name in sorted({f"{entry['provider']} ({entry['why']})" for entry in results.skipped}):
        console.print(f"left out: {name}")


def _table(title: str, first: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, no_wrap=True)
    return table


def _add_row(table: Table, row: Row, ours: float | None) -> None:
    if row.median is None:
        table.add_row(row.provider, "-", "", "", "", "", Text(row.error or "", style="red"))
        return
    ratio = f"{row.median / ours:.2f}" if ours and row.kind != "headrace" else ""
    share = f"{row.fraction:.0%}" if row.fraction is not None else ""
    times = (milliseconds(value) for value in (row.median, row.min, row.p99))
    table.add_row(row.provider, *times, ratio, share, row.checked)


def _print_metrics(title: str, rows: list[Row], console: Console) -> None:
    """What providers measured besides their time, and how many times ours everybody else's is."""
    if not rows:
        return
    table = _table(f"{title}, also measured", "")
    ours = next((row for row in rows if row.kind == "headrace"), None)
    others = [row for row in rows if row is not ours] if ours else []
    for row in rows:
        table.add_column(row.provider, justify="right")
    for row in others:
        table.add_column(f"{row.provider} / ours", justify="right")
    for name in dict.fromkeys(name for row in rows for name in row.metrics if name != _SAID):
        values = [milliseconds(row.metrics.get(name)) for row in rows]
        table.add_row(name, *values, *(_ratio(row.metrics.get(name), ours, name) for row in others))
    console.print(table)


def _ratio(value: float | None, ours: Row | None, name: str) -> str:
    own = ours.metrics.get(name) if ours else None
    return f"{value / own:.2f}" if value is not None and own else ""


def print_differences(differences: list[Difference], console: Console) -> None:
    """Ratios of two files, what needs a look last."""
    table = Table(title="B against A", title_justify="left")
    for heading in ("op", "case", "provider"):
        table.add_column(heading)
    for heading in ("A ms", "B ms", "B / A", "noise"):
        table.add_column(heading, justify="right")
    for heading in ("verdict", ""):
        table.add_column(heading)
    order = {"no verdict": 0, "no difference": 1, "faster": 2, "no time": 3, "slower": 4}
    for one in sorted(differences, key=lambda d: order[d.verdict]):
        colour = {"slower": "red", "faster": "green", "no time": "red"}.get(one.verdict, "")
        word = Text(one.verdict, style=colour)
        how = ", ".join(part for part in ("paired" if one.paired else "", one.note) if part)
        times = (milliseconds(value) for value in (one.a_ms, one.b_ms))
        ratio, noise = ("-", "-") if math.isnan(one.ratio) else (f"{one.ratio:.3f}", f"{one.noise:.3f}x")
        table.add_row(one.op, one.case, one.provider, *times, ratio, noise, word, how)
    console.print(table)


def milliseconds(value: float | None) -> str:
    """Three figures."""
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
