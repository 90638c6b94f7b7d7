"""The report as one HTML page that needs nothing else: no script, no request, styles and drawings inside."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.report import formats as f
from headrace.report.charts import FRAME
from headrace.report.model import Machine, Report
from headrace.report.plots import Chart, charts
from headrace.report.tables import Section, sections
from headrace.report.verdicts import Verdict, headline, verdicts

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Page:
    """What a page shows, from top to bottom. facts: (name, value). charts: section key -> its charts, above its tables.
    created, version: of the run, for the last line. notes: whole sentences."""

    title: str
    headline: str
    facts: list[tuple[str, str]]
    sections: list[Section]
    charts: Mapping[str, Sequence[Chart]]
    created: str
    version: str
    verdicts: list[Verdict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def environment() -> Environment:
    """The template engine. ImportError, saying what to install, without the extra `report`."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise ImportError('the HTML report needs jinja2: pip install "headrace[report]"') from error
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_page(page: Page) -> str:
    """The page as text; every value is escaped. ImportError without the extra `report`."""
    return environment().get_template("page.html").render(page=page, frame=FRAME)


def write_page(page: Page, path: str | os.PathLike[str]) -> Path:
    """Write the page to `path`, whole or not at all, and return the path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = render_page(page)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return target


def render_html(report: Report) -> str:
    """The report's page as text."""
    return render_page(_page(report))


def write_html(report: Report, path: str | os.PathLike[str]) -> Path:
    """Write the report's page to `path`, whole or not at all, and return the path."""
    return write_page(_page(report), path)


def machine_facts(m: Machine) -> list[tuple[str, str]]:
    """The machine in two facts, for the top of a page."""
    threads = f"{m.threads} of {m.cores} cores" if m.device == "cpu" else f"{m.threads} host threads"
    return [("Machine", m.cpu), ("Ran on", ", ".join(x for x in (m.device, m.isa, threads) if x))]


def _page(report: Report) -> Page:
    return Page(
        report.title,
        headline(report),
        _facts(report),
        sections(report),
        charts(report),
        report.created,
        report.version,
        verdicts(report),
        report.notes,
    )


def _facts(report: Report) -> list[tuple[str, str]]:
    """What a reader must know before the numbers: the machine and the data."""
    data, funnel = report.dataset, report.funnel
    facts = machine_facts(report.machine)
    if data is not None:
        facts += [
            ("Dataset", data.name),
            ("Size", f"{f.count(data.users)} users, {f.count(data.items)} items, {f.count(data.events)} events"),
            ("Days", f"{f.day(data.first_ms)} to {f.day(data.last_ms)}"),
        ]
    if report.quality is not None:
        facts.append(("Held out", report.quality.held_out))
    if funnel is not None:
        facts.append(("Speed measured on", f"{f.count(funnel.requests)} requests, batches of {funnel.batch_size}"))
    return facts
