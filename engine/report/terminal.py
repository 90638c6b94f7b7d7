"""The report in the terminal, in at most 100 columns and readable as plain text."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from headrace.console import terminal
from headrace.report.model import Report
from headrace.report.page import Section, Table, Verdict
from headrace.report.tables import sections
from headrace.report.verdicts import headline, verdicts

WIDTH = 100
MARKS = {True: ("ok", "green"), False: ("MISS", "bold red"), None: ("open", "yellow")}


def print_report(report: Report, console: Console | None = None) -> None:
    """Print every measured section. console: standard output unless given; a pipe is as wide as a terminal."""
    console = console or plain_console()
    console.print(Text(report.title, style="bold"))
    console.print(Text(headline(report)))
    console.print(Text(f"{report.created}, headrace {report.version}", style="dim"))
    print_sections(console, sections(report))
    print_sentences(console, verdicts(report), report.notes)


def plain_console() -> Console:
    """Standard output in at most `WIDTH` columns; a pipe is as wide as a terminal."""
    console = terminal()
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    return console


def print_sections(console: Console, shown: list[Section]) -> None:
    """Print every table under its section's title."""
    for section in shown:
        console.print()
        console.rule(Text(section.title, style="bold"), align="left", style="dim")
        for table in section.tables:
            console.print(rich_table(table))
            if table.best:
                console.print(Text(f"  * {table.best_by}", style="green"))
            if table.note:
                console.print(Text(f"  {table.note}", style="dim"))


def print_sentences(console: Console, found: list[Verdict], notes: list[str]) -> None:
    """Print what the numbers say, and the notes."""
    _sentences(console, "Findings", [(v.text, v.good) for v in found])
    _sentences(console, "Notes", [(note, None) for note in notes], marked=False)


def rich_table(table: Table) -> RichTable:
    """The table for a terminal; its note and what its marks mean are left to the caller."""
    out = RichTable(
        title=Text(table.title, style="italic"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_header=any(table.columns),
    )
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
