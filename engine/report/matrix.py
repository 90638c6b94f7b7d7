"""A drawing of how much of each row is in each column, with the names of both and the numbers in the cells."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from headrace.report import formats as f

_CELL, _NAMES, _TOP = 34.0, 150.0, 22.0
#: So that the numbers stay readable.
_DARKEST = 0.75


def draw_matrix(title: str, names: Sequence[str], shares: Sequence[Sequence[float | None]], note: str) -> str:
    """shares: C rows of C numbers, drawn from 0 (paper) to 1, but for a row's own column. The columns
    have the rows' numbers. All text is escaped."""
    width, height = _NAMES + _CELL * len(names) + 4, _TOP + _CELL * len(names) + 4
    parts = [f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}">']
    for i, name in enumerate(names):
        middle = i * _CELL + _CELL / 2
        parts.append(f'<text class="tick" x="{_NAMES + middle:g}" y="14" text-anchor="middle">{i + 1}</text>')
        label = escape(f"{name} {i + 1}")
        parts.append(
            f'<text class="tick" x="{_NAMES - 6:g}" y="{_TOP + middle + 4:g}" text-anchor="end">{label}</text>'
        )
        for j, share in enumerate(shares[i]):
            if i == j or share is None:
                continue
            x, y = _NAMES + j * _CELL, _TOP + i * _CELL
            words = escape(f"{f.percent(share)} of {name} is in {names[j]} too")
            parts.append(
                f'<rect class="cell heat" x="{x:g}" y="{y:g}" width="{_CELL - 1:g}" height="{_CELL - 1:g}" '
                f'fill-opacity="{_DARKEST * min(max(share, 0.0), 1.0):.3f}"><title>{words}</title></rect>'
            )
            place = f'x="{x + _CELL / 2 - 0.5:g}" y="{y + _CELL / 2 + 4:g}"'
            parts.append(f'<text class="point" {place} text-anchor="middle">{100 * share:.0f}</text>')
    parts.append("</svg>")
    svg = "\n".join(parts)
    return (
        f'<figure class="lines-chart"><figcaption>{escape(title)}</figcaption>\n{svg}\n'
        f'<p class="axis-name">{escape(note)}</p></figure>'
    )
