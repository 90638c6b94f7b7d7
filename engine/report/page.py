"""A page of charts and tables as one HTML file that needs nothing else: no script, no request, styles and drawings
inside."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.kernels import atomic
from headrace.report.charts import FRAME, Chart

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Table:
    """Columns from `text_columns` on are numbers, set to the right. best: rows to mark, for the reason in `best_by`.
    note: a sentence under the table."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    text_columns: int = 1
    best: list[int] = field(default_factory=list)
    best_by: str = ""
    note: str = ""


@dataclass(frozen=True)
class Section:
    """key: a stable name, used as the page's anchor. The charts come first, then the tables, then the drawings.
    drawings: finished SVG, put in as it is."""

    key: str
    title: str
    tables: list[Table] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    drawings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """good: True it holds, False it doesn't, None neither."""

    text: str
    good: bool | None


@dataclass(frozen=True)
class Page:
    """title: what it is about. headline: the result in a sentence. facts: (name, value) a reader must know first."""

    title: str
    headline: str
    facts: list[tuple[str, str]]
    sections: list[Section]
    footer: str
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


def render(page: Page) -> str:
    """The page as text; every value is escaped. ImportError without the extra `report`."""
    return environment().get_template("page.html").render(page=page, frame=FRAME)


def write(page: Page, path: str | os.PathLike[str]) -> Path:
    """Write the page to `path`, whole or not at all, and return the path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = render(page)
    with atomic.replace(target) as part:
        part.write_text(text, encoding="utf-8")
    return target
