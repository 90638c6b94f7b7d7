"""The report as one HTML page that needs nothing else: no script, no request, styles and drawings inside."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.report import formats as f
from headrace.report.charts import FRAME
from headrace.report.model import Report
from headrace.report.plots import charts
from headrace.report.tables import sections
from headrace.report.verdicts import headline, verdicts

if TYPE_CHECKING:
    from jinja2 import Environment


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


def render_html(report: Report) -> str:
    """The page as text; every value of the report is escaped. ImportError without the extra `report`."""
    return (
        environment()
        .get_template("page.html")
        .render(
            report=report,
            headline=headline(report),
            facts=_facts(report),
            verdicts=verdicts(report),
            sections=sections(report),
            charts=charts(report),
            frame=FRAME,
        )
    )


def write_html(report: Report, path: str | os.PathLike[str]) -> Path:
    """Write the page to `path`, whole or not at all, and return the path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    page = render_html(report)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_text(page, encoding="utf-8")
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return target


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
