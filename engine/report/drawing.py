"""Line charts as an SVG file of its own, for a page of documentation; the report's page draws them in its template."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from headrace.report.charts import FRAME, Key, LineChart

_HEAD, _FOOT, _COLUMNS, _LINE = 26, 22, 2, 18


def drawing(charts: Sequence[LineChart], source: str) -> str:
    """The charts in two columns under one legend, that of all; `source` says below where the numbers come from."""
    columns = min(_COLUMNS, len(charts))
    rows = -(-len(charts) // columns)
    width, step = columns * FRAME.width, FRAME.height + _HEAD
    keys, top = _legend([key for chart in charts for key in chart.legend], width)
    height = top + rows * step + _FOOT
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">']
    parts += [f"<style>{_style()}</style>", f'<rect class="paper" width="{width}" height="{height}"/>', *keys]
    for at, chart in enumerate(charts):
        x, y = at % columns * FRAME.width, top + at // columns * step
        parts.append(f'<g transform="translate({x} {y})">{_chart(chart)}</g>')
    parts.append(f'<text x="{FRAME.left}" y="{height - 8}">{escape(source)}</text>\n</svg>\n')
    return "\n".join(parts)


def _style() -> str:
    """The colours of the report's page, light and dark, and the rules for what is drawn."""
    sheet = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    head = sheet[: sheet.index("* { box-sizing")]
    rules = re.findall(r"^(?:\.\w+ \{ --c:|svg (?:text|\.|line|polyline|circle)).*$", sheet, re.MULTILINE)
    own = "svg{font-family:system-ui,sans-serif}.paper{fill:var(--panel)}svg .title{fill:var(--ink);font-weight:600}"
    return head + "\n".join(rules) + "\n" + own


def _legend(keys: Sequence[Key], width: int) -> tuple[list[str], int]:
    """Each label once, in as many lines as they need, and the height of it all."""
    parts, x, y = [], FRAME.left, _LINE
    for key in {key.label: key for key in keys}.values():
        room = 40 + 6 * len(key.label)
        if x + room > width and x > FRAME.left:
            x, y = FRAME.left, y + _LINE
        parts.append(_key(key, x, y))
        x += room
    return parts, y + _LINE


def _key(key: Key, x: float, y: float) -> str:
    if key.shape == "ring":
        mark = f'<circle class="{key.colour} hollow" cx="{x + 8}" cy="{y}" r="3.5"/>'
    else:
        dash = " dash" if key.shape == "dash" else ""
        mark = f'<polyline class="{key.colour}{dash}" points="{x},{y} {x + 16},{y}"/>'
    return f'{mark}<text x="{x + 22}" y="{y + 3.5}">{escape(key.label)}</text>'


def _chart(chart: LineChart) -> str:
    frame, middle = FRAME, (FRAME.top + FRAME.bottom) / 2 + _HEAD
    parts = [f'<text class="title" x="{frame.left}" y="{_HEAD - 10}">{escape(chart.title)}</text>']
    parts.append(f'<g transform="translate(0 {_HEAD - 8})">')
    for y, text in chart.y_ticks:
        parts.append(f'<line class="grid" x1="{frame.left}" x2="{frame.right}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{frame.left - 6}" y="{y + 3.5}" text-anchor="end">{escape(text)}</text>')
    for x, text in chart.x_ticks:
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{frame.bottom}" y2="{frame.bottom + 4}"/>')
        parts.append(f'<text x="{x}" y="{frame.bottom + 16}" text-anchor="middle">{escape(text)}</text>')
    parts.append(
        f'<line class="axis" x1="{frame.left}" x2="{frame.right}" y1="{frame.bottom}" y2="{frame.bottom}"/>'
        f'<text class="name" x="{(frame.left + frame.right) / 2}" y="{frame.height - 10}" text-anchor="middle">'
        f'{escape(chart.x_label)}</text><text class="name" transform="translate(11 {middle - _HEAD}) rotate(-90)" '
        f'text-anchor="middle">{escape(chart.y_label)}</text>'
    )
    for line in chart.lines:
        if not line.hollow:
            parts.append(f'<polyline class="{line.colour}{" dash" if line.dashed else ""}" points="{line.path}"/>')
        ring = " hollow" if line.hollow else ""
        parts += [f'<circle class="{line.colour}{ring}" cx="{x}" cy="{y}" r="3.5"/>' for x, y in line.dots]
        parts += [
            f'<text class="point" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
            for x, y, anchor, text in line.labels
        ]
    return "\n".join([*parts, "</g>"])
