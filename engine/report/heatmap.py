"""Drawings of one page: the likeness of its items as a heat map, under a strip of their categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

#: Classes of the style sheet, for the categories that a page shows most; the rest share the last.
COLOURS = ("recall", "rerank", "rank", "merge", "filter", "prerank", "baseline")
_SIDE, _STRIP, _EDGE = 320.0, 12.0, 14.0


@dataclass(frozen=True)
class HeatMap:
    """title: above it. likeness: K rows of K numbers, drawn from 0 (paper) to 1 (full colour). names: K items, in page
    order. groups: the category of each. note: under it. marks: positions that get a dot, counted from 0."""

    title: str
    likeness: Sequence[Sequence[float]]
    names: Sequence[str]
    groups: Sequence[str]
    note: str = ""
    marks: Sequence[int] = ()


def draw(maps: Sequence[HeatMap]) -> str:
    """The maps side by side as HTML with SVG, one colour for one category on all of them. All text is escaped."""
    colours = group_colours([group for one in maps for group in one.groups])
    body = "\n".join(_figure(one, colours) for one in maps)
    return f'<div class="charts">\n{body}\n</div>\n{_legend(colours)}'


def group_colours(groups: Sequence[str]) -> dict[str, str]:
    """group -> class, the most frequent first, ties in order of appearance; what is left over is "other"."""
    counts = dict.fromkeys(groups, 0)
    for group in groups:
        counts[group] += 1
    ranked = sorted(counts, key=lambda group: -counts[group])
    return {group: COLOURS[i] if i < len(COLOURS) else "other" for i, group in enumerate(ranked)}


def _figure(one: HeatMap, colours: dict[str, str]) -> str:
    size = len(one.names)
    step = (_SIDE - _EDGE - _STRIP - 4) / max(size, 1)
    first = _EDGE + _STRIP + 4
    parts = [f'<svg viewBox="0 0 {_SIDE:g} {_SIDE:g}" role="img" aria-label="{escape(one.title)}">']
    for i, (name, group) in enumerate(zip(one.names, one.groups, strict=True)):
        at, colour = first + i * step, colours[group]
        words = escape(f"{i + 1}: {name}, {group}")
        for x, y, w, h in ((at, _EDGE, step, _STRIP), (_EDGE, at, _STRIP, step)):
            parts.append(f'<rect class="cell {colour}" {_box(x, y, w, h)}><title>{words}</title></rect>')
        if i == 0 or (i + 1) % _every(size) == 0:
            middle = at + step / 2
            parts.append(f'<text class="tick" x="{middle:.1f}" y="10" text-anchor="middle">{i + 1}</text>')
            parts.append(
                f'<text class="tick" x="{_EDGE - 2:g}" y="{middle + 3.5:.1f}" text-anchor="end">{i + 1}</text>'
            )
    for i, row in enumerate(one.likeness):
        for j, value in enumerate(row):
            if i == j:
                continue
            words = escape(f"{i + 1} and {j + 1}: {value:.2f}")
            box = _box(first + j * step, first + i * step, step, step)
            alpha = min(max(value, 0.0), 1.0)
            parts.append(f'<rect class="cell heat" {box} fill-opacity="{alpha:.3f}"><title>{words}</title></rect>')
    for mark in one.marks:
        middle = first + (mark + 0.5) * step
        parts.append(f'<circle class="mark" cx="{middle:.1f}" cy="{_EDGE + _STRIP / 2:.1f}" r="2.5"/>')
    parts.append("</svg>")
    note = f'<p class="axis-name">{escape(one.note)}</p>'
    svg = "\n".join(parts)
    return f'<figure class="lines-chart"><figcaption>{escape(one.title)}</figcaption>\n{svg}\n{note}</figure>'


def _box(x: float, y: float, w: float, h: float) -> str:
    return f'x="{x:.2f}" y="{y:.2f}" width="{w - 0.4:.2f}" height="{h - 0.4:.2f}"'


def _every(size: int) -> int:
    """Which positions have their number on the axis: every fifth, or tenth on a long page."""
    return 5 if size <= 40 else 10 if size <= 80 else 25


def _legend(colours: dict[str, str]) -> str:
    """Each named category; the ones that share a colour are one entry."""
    named = [(group, colour) for group, colour in colours.items() if colour != "other"]
    if len(named) < len(colours):
        named.append((f"{len(colours) - len(named)} other categories", "other"))
    entries = [f'<li><i class="key box {colour}"></i>{escape(group)}</li>' for group, colour in named]
    return '<ul class="legend">' + "".join(entries) + "</ul>"
