"""The report in the terminal, in at most 100 columns and readable as plain text."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from headrace.report.model import Report
from headrace.report.page import Table
from headrace.report.tables import sections
from headrace.report.verdicts import headline, verdicts

WIDTH = 100
MARKS = {True: ("ok", "green"), False: ("MISS", "bold red"), None: ("open", "yellow")}


def print_report(report: Report, console: Console | None = None) -> None:
    """Print every measured section. console: standard output unless given; a pipe is as wide as a terminal."""
    if console is None:
        console = Console()
        console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    console.print(Text(report.title, style="bold"))
    console.print(Text(headline(report)))
    console.print(Text(f"{report.created}, headrace {report.version}", style="dim"))
    for section in sections(report):
        console.print()
        console.rule(Text(section.title, style="bold"), align="left", style="dim")
        for table in section.tables:
            console.print(_rich(table))
            if table.best:
                console.print(Text(f"  * {table.best_by}", style="green"))
            if table.note:
                console.print(Text(f"  {table.note}", style="dim"))
    _sentences(console, "Findings", [(v.text, v.good) for v in verdicts(report)])
    _sentences(console, "Notes", [(note, None) for note in report.notes], marked=False)


def _rich(table: Table) -> RichTable:
    out = RichTable(title=table.title, title_justify="left", title_style="italic", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(table.columns):
        numeric = number >= table.text_columns
        out.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for number, row in enumerate(table.rows):
        best = number in table.best
        cells = [f"* {row[0]}", *row[1:]] if best else row
        out.add_row(*(Text(cell) for cell in cells), style="bold green" if best else None)
    return out


def _sentences(console: Console, title: str, sentences: list[tuple[str, bool | None]], marked: bool = True) -> None:
    if not sentences:
        return
    console.print()
    console.rule(Text(title, style="bold"), align="left", style="dim")
    grid = RichTable.grid(padding=(0, 1))
    for text, good in sentences:
        mark, style = MARKS[good] if marked else ("-", "dim")
        grid.add_row(Text(mark, style=style), Text(text))
    console.print(grid)
