"""Geometry of the page's charts: bars in percent of their track, lines in the units of an SVG view box."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

#: A curve with more points than this is drawn by every n-th of them.
MAX_POINTS = 400

Format = Callable[[list[float]], list[str]]
Scale = Callable[[float], float]


@dataclass(frozen=True)
class Frame:
    """View box of a line chart, and where in it the axes end. Small, so that text stays readable on a phone."""

    width: int = 360
    height: int = 260
    left: int = 52
    right: int = 346
    top: int = 10
    bottom: int = 218


FRAME = Frame()


@dataclass(frozen=True)
class Bar:
    """colour: a class of the style sheet. length, mark: percent of the track; the mark is a tick across the bar."""

    label: str
    text: str
    length: float
    colour: str
    mark: float | None = None


@dataclass(frozen=True)
class Key:
    """An entry of a legend. shape: "box", "line", "dash", "ring" or "tick"."""

    label: str
    colour: str
    shape: str = "box"


@dataclass(frozen=True)
class BarChart:
    """ticks: (percent, text). references: (percent, class) of vertical lines through all bars."""

    title: str
    axis: str
    bars: list[Bar]
    ticks: list[tuple[float, str]]
    references: list[tuple[float, str]] = field(default_factory=list)
    legend: list[Key] = field(default_factory=list)
    kind: str = "bars"


@dataclass(frozen=True)
class Series:
    """One line: points in the data's units, in order. labels: a text beside each dot, "" for none. hollow: rings
    without a line."""

    name: str
    points: list[tuple[float, float]]
    colour: str
    dots: bool = False
    dashed: bool = False
    labels: list[str] = field(default_factory=list)
    hollow: bool = False


@dataclass(frozen=True)
class Line:
    """A series in view-box units. dots: (x, y). labels: (x, y, anchor, text)."""

    colour: str
    dashed: bool
    path: str
    dots: list[tuple[float, float]]
    labels: list[tuple[float, float, str, str]]
    hollow: bool = False


@dataclass(frozen=True)
class LineChart:
    title: str
    x_label: str
    y_label: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    lines: list[Line]
    legend: list[Key]
    kind: str = "lines"


Chart = BarChart | LineChart


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten) from at or below `low` to at or above `high`."""
    span = (high - low) or abs(high) or 1.0
    raw = span / about
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= raw * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    last = max(first + 1, math.ceil(high / step - 1e-9))
    return [float(f"{i * step:.10g}") for i in range(first, last + 1)]


def linear_scale(high: float, write: Format, about: int = 5) -> tuple[Scale, list[tuple[float, str]]]:
    """Bars from 0 to `high`: (value -> percent, ticks)."""
    ticks = nice_ticks(0.0, high, about)
    top = ticks[-1]
    return (lambda value: 100 * value / top), [
        (100 * t / top, text) for t, text in zip(ticks, write(ticks), strict=True)
    ]


def log_scale(high: float, write: Format) -> tuple[Scale, list[tuple[float, str]]]:
    """Bars from 1 to `high` in powers of ten; what is below 1 has no length."""
    decades = max(1, math.ceil(math.log10(max(high, 1.0)) - 1e-9))
    step = math.ceil(decades / 6)
    powers = list(range(0, decades + 1, step))
    texts = write([10.0**d for d in powers])
    ticks = [(100 * d / decades, text) for d, text in zip(powers, texts, strict=True)]
    return (lambda value: 100 * math.log10(max(value, 1.0)) / decades), ticks


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten from at or below `low` to at or above `high`; in less than two decades also 2 and 5 times them."""
    steps = (1, 2, 5) if high < 100 * low else (1,)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    all_ticks = [float(f"{m * 10.0**d:.10g}") for d in range(first, max(last, first + 1) + 1) for m in steps]
    below, above = max(t for t in all_ticks if t <= low), min(t for t in all_ticks if t >= high)
    kept = [t for t in all_ticks if below <= t <= max(above, all_ticks[all_ticks.index(below) + 1])]
    thin = math.ceil((len(kept) - 1) / 7)
    return kept if thin < 2 else [*kept[:-1:thin], kept[-1]]


def line_chart(
    title: str,
    x_label: str,
    y_label: str,
    series: list[Series],
    write_x: Format,
    write_y: Format,
    limits: tuple[float, float] | None = None,
    *,
    log: str = "",
    x_at: list[float] | None = None,
    y_at: list[float] | None = None,
) -> LineChart:
    """A chart of `series`, axes fitted to the points. limits: one range for both axes instead. log: the axes that are
    logarithmic, of "x" and "y"; their values must be above 0. x_at, y_at: the ticks of an axis."""
    points = [p for s in series for p in s.points]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    # A dot with a label needs room at the sides; a curve may use the whole width.
    room = 0.05 if any(s.labels for s in series) else 0.0
    x_ticks = x_at or (log_ticks(min(xs), max(xs)) if "x" in log else nice_ticks(*(limits or _range(xs, room)), 4))
    y_ticks = y_at or (log_ticks(min(ys), max(ys)) if "y" in log else nice_ticks(*(limits or _range(ys, 0.05))))
    across = _scale(x_ticks, FRAME.left, FRAME.right, "x" in log)
    up = _scale(y_ticks, FRAME.bottom, FRAME.top, "y" in log)
    return LineChart(
        title,
        x_label,
        y_label,
        [(across(t), text) for t, text in zip(x_ticks, write_x(x_ticks), strict=True)],
        [(up(t), text) for t, text in zip(y_ticks, write_y(y_ticks), strict=True)],
        [_line(s, across, up) for s in series],
        [Key(s.name, s.colour, "ring" if s.hollow else "dash" if s.dashed else "line") for s in series if s.name],
    )


def _range(values: list[float], room: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = room * ((high - low) or abs(high) or 1.0)
    return (0.0 if low >= 0 > low - pad else low - pad), high + pad


def _scale(ticks: list[float], start: float, end: float, log: bool = False) -> Scale:
    place = math.log10 if log else float
    low, high = place(ticks[0]), place(ticks[-1])
    if low == high:
        return lambda _: round((start + end) / 2, 1)
    return lambda value: round(start + (end - start) * (place(value) - low) / (high - low), 1)


def _line(series: Series, across: Scale, up: Scale) -> Line:
    thinned = series.points[:: math.ceil(len(series.points) / MAX_POINTS) or 1]
    if series.points and thinned[-1] != series.points[-1]:
        thinned.append(series.points[-1])
    at = [(across(x), up(y)) for x, y in thinned]
    labels = [_label(x, y, text) for (x, y), text in zip(at, series.labels, strict=False) if text]
    path = " ".join(f"{x:g},{y:g}" for x, y in at)
    dots = at if series.dots or series.hollow else []
    return Line(series.colour, series.dashed, path, dots, labels, series.hollow)


def _label(x: float, y: float, text: str) -> tuple[float, float, str, str]:
    """Above and right of the dot, or below and left where it would leave the chart: clear of a falling line."""
    if x + 8 + 6 * len(text) < FRAME.width:
        return round(x + 7, 1), round(y - 6, 1), "start", text
    return round(x - 7, 1), round(y + 13, 1), "end", text
