"""The report of a run as one HTML page."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from headrace.report import formats as f
from headrace.report import page
from headrace.report.model import Report
from headrace.report.plots import charts
from headrace.report.tables import sections
from headrace.report.verdicts import headline, verdicts


def render_html(report: Report) -> str:
    """The page as text; every value of the report is escaped. ImportError without the extra `report`."""
    return page.render(_page(report))


def write_html(report: Report, path: str | os.PathLike[str]) -> Path:
    """Write the page to `path`, whole or not at all, and return the path."""
    return page.write(_page(report), path)


def _page(report: Report) -> page.Page:
    drawn = charts(report)
    return page.Page(
        title=report.title,
        headline=headline(report),
        facts=_facts(report),
        sections=[replace(section, charts=drawn.get(section.key, [])) for section in sections(report)],
        footer=f"Headrace {report.version}, {report.created}",
        verdicts=verdicts(report),
        notes=report.notes,
    )


def _facts(report: Report) -> list[tuple[str, str]]:
    """What a reader must know before the numbers: the machine and the data."""
    m, data, funnel = report.machine, report.dataset, report.funnel
    threads = f"{m.threads} of {m.cores} cores" if m.device == "cpu" else f"{m.threads} host threads"
    facts = [("Machine", m.cpu), ("Ran on", ", ".join(x for x in (m.device, m.isa, threads) if x))]
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
