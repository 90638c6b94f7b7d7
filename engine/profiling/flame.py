"""The flame graph: every path of calls as a frame as wide as its time, callers above what they call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

from headrace.profiling.tree import Call
from headrace.report import formats as f
from headrace.report.plots import stage_colour

#: Frames below this share of the width are left out; narrower ones than this have no room for a letter or two.
LEAST, NAMED = 0.001, 0.02


@dataclass
class Frame:
    """All calls of one path. kind: as of a span, or "" of the root. backend: of a kernel."""

    name: str
    kind: str
    backend: str = ""
    ns: int = 0
    self_ns: int = 0
    calls: int = 0
    inner: dict[tuple[str, str, str], Frame] = field(default_factory=dict)


def frames(batches: Sequence[Call]) -> Frame:
    """The batches as one tree: calls of the same path become one frame, in the order in which they first ran."""
    root = Frame("all batches", "")
    root.ns = sum(batch.span.ns for batch in batches)
    for batch in batches:
        _add(root, batch)
    return root


def _add(above: Frame, call: Call) -> None:
    span = call.span
    key = (span.kind, span.name, span.backend)
    frame = above.inner.setdefault(key, Frame(span.name, span.kind, span.backend))
    frame.ns += span.ns
    frame.self_ns += call.self_ns
    frame.calls += 1
    for inner in call.inner:
        _add(frame, inner)


@dataclass(frozen=True)
class _Box:
    """A frame where it is drawn: left and width in percent, depth in rows from the top."""

    frame: Frame
    left: float
    width: float
    depth: int
    colour: str


def draw(root: Frame) -> str:
    """The graph as HTML for a page of the report."""
    boxes = list(_boxes(root, 0.0, 100.0, 0, "other"))
    depth = max((box.depth for box in boxes), default=0) + 1
    body = "\n".join(_html(box, root.ns) for box in boxes)
    return f"""<figure class="flame-chart">
<figcaption>Width is time, summed over all batches; what a frame calls hangs under it</figcaption>
{_legend(boxes)}
<div class="flame-scroll" tabindex="0" role="region" aria-label="Flame graph">
<div class="flame" style="--rows:{depth}">
{body}
</div>
</div>
</figure>"""


def _boxes(above: Frame, left: float, width: float, depth: int, colour: str) -> Iterator[_Box]:
    for frame in above.inner.values():
        share = width * frame.ns / above.ns if above.ns else 0.0
        own = {"channel": "recall", "stage": stage_colour(frame.name)}.get(frame.kind, colour)
        if share >= 100 * LEAST:
            yield _Box(frame, left, share, depth, own)
            yield from _boxes(frame, left, share, depth + 1, own)
        left += share


def _html(box: _Box, whole: int) -> str:
    frame = box.frame
    name = frame.name.replace("_", " ") if frame.kind in ("channel", "stage", "kernel") else frame.name
    kind = {"kernel": f"{frame.backend} kernel", "torch": "torch operator", "channel": "stage"}.get(
        frame.kind, frame.kind
    )
    words = (
        f"{name} ({kind}): {f.significant(frame.ns / 1e6)} ms, {f.percent(frame.ns / whole)} of all; "
        f"self {f.significant(frame.self_ns / 1e6)} ms, {f.percent(frame.self_ns / whole)}; "
        f"{f.count(frame.calls)} calls of {f.significant(frame.ns / frame.calls / 1e6)} ms"
    )
    place = f"left:{box.left:.3f}%;width:{box.width:.3f}%;--row:{box.depth}"
    return (
        f'<div class="frame {box.colour} {frame.kind}" style="{place}" tabindex="0" title="{escape(words)}">'
        f"{escape(name.rpartition('::')[2]) if box.width >= 100 * NAMED else ''}</div>"
    )


def _legend(boxes: Sequence[_Box]) -> str:
    """A key for each stage's colour, and for what is no stage."""
    colours: dict[str, list[str]] = {}
    for box in boxes:
        if box.frame.kind in ("channel", "stage"):
            names = colours.setdefault(box.colour, [])
            names.extend([box.frame.name] if box.frame.kind == "stage" else [])
    keys = [
        f'<li><i class="key {colour}"></i>{escape(", ".join(dict.fromkeys(names)) or "recall channels")}</li>'
        for colour, names in colours.items()
    ]
    if any(box.frame.kind == "kernel" for box in boxes):
        keys.append('<li><i class="key other kernel"></i>kernel (outlined)</li>')
    if any(box.frame.kind == "torch" for box in boxes):
        keys.append('<li><i class="key other torch"></i>torch operator (pale)</li>')
    keys.append('<li><i class="key blank"></i>nothing under a frame: Python, dispatch</li>')
    return '<ul class="legend">\n' + "\n".join(keys) + "\n</ul>"
