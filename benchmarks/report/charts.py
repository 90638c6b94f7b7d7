"""The charts of the page: speed-ups, the roofline, scaling curves."""

from __future__ import annotations

import math
from collections.abc import Sequence

from headrace.benchmarks.harness.ceilings import Ceiling
from headrace.benchmarks.harness.results import Row
from headrace.benchmarks.report.cases import Answers, Curve
from headrace.report import formats as f
from headrace.report.charts import Bar, BarChart, Key, LineChart, Series, line_chart

COLOURS = ("rank", "recall", "rerank", "merge", "filter", "prerank", "other", "baseline")


def speedups(title: str, answered: Sequence[Answers]) -> BarChart | None:
    """How many times longer the best peer takes, on a logarithmic axis from a quarter of ours on."""
    known = [(one, one.speedup) for one in answered if one.speedup is not None]
    if not known:
        return None
    high = max(4.0, *(speedup for _, speedup in known))
    ticks = [t for t in (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if t <= high * 2]
    top = next((t for t in ticks if t >= high), ticks[-1])
    whole = math.log(top / ticks[0])

    def scale(value: float) -> float:
        return min(100.0, max(0.0, 100 * math.log(value / ticks[0]) / whole))

    bars = [
        Bar(one.case, f"{f.significant(speedup)}x", scale(speedup), "rank" if speedup >= 1 else "baseline")
        for one, speedup in known
    ]
    axis = "times the best peer's time (logarithmic)"
    marks = [(scale(t), f"{t:g}x") for t in ticks if t <= top]
    return BarChart(title, axis, bars, marks, references=[(scale(1.0), "dashed")])


def roofline(rows: Sequence[Row], ceilings: Sequence[Ceiling], threads: int) -> LineChart | None:
    """Every kernel's fastest case: operations a byte, operations a second, under the roofs measured in the same run."""
    best: dict[str, Row] = {}
    for row in rows:
        if row.kind == "headrace" and row.median and row.flops and row.bytes:
            before = best.get(row.op)
            if before is None or _rate(row) > _rate(before):
                best[row.op] = row
    roofs = {one.name: one.value for one in ceilings if one.threads == threads}
    if not best or "read" not in roofs or "matrix float32" not in roofs:
        return None
    intensities = [_intensity(row) for row in best.values()]
    low, high = min(0.1, *intensities) / 2, max(100.0, *intensities) * 2
    series = []
    for number, name in enumerate(name for name in roofs if name.startswith("matrix ")):
        ridge = roofs[name] / roofs["read"]
        corner = [(ridge, roofs[name])] if low < ridge < high else []
        ends = [(x, min(roofs[name], x * roofs["read"])) for x in (low, high)]
        points = sorted([ends[0], *corner, ends[1]])
        series.append(Series(name.removeprefix("matrix "), points, COLOURS[-1 - number], dashed=True))
    # Numbers, because names would lie on top of each other where kernels are alike.
    for number, (op, row) in enumerate(best.items(), 1):
        point = (_intensity(row), _rate(row))
        series.append(Series(f"{number} {op}", [point], COLOURS[number % 6], dots=True, labels=[str(number)]))
    return line_chart(
        "Roofline: each kernel's fastest case, under what this machine can do",
        "operations a byte",
        "GFLOP/s",
        series,
        f.short_ticks,
        f.short_ticks,
        log="xy",
    )


def scaling(title: str, curves: Sequence[Curve]) -> LineChart:
    """Time over one parameter, both logarithmic; ours first."""
    ordered = sorted(curves, key=lambda curve: curve.kind != "headrace")
    series = [
        Series(one.provider, one.points, COLOURS[n % len(COLOURS)], dots=True, dashed=one.kind != "headrace")
        for n, one in enumerate(ordered)
    ]
    label = curves[0].axis
    return line_chart(title, label, "ms", series, f.short_ticks, f.short_ticks, log="xy")


def requests_per_second(rows: Sequence[Row]) -> BarChart:
    """Of every provider and case that says how many requests a second it served."""
    known = [(row, row.metrics["requests_per_second"]) for row in rows if "requests_per_second" in row.metrics]
    high = max(value for _, value in known)
    bars = [
        Bar(f"{row.provider}, {row.case}", f.count(round(value)), 100 * value / high, _kind_colour(row))
        for row, value in known
    ]
    legend = [Key("Headrace", "rank"), Key("the obvious stack", "baseline")]
    return BarChart("The whole funnel", "requests/s", bars, [(0.0, "0"), (100.0, f.count(round(high)))], legend=legend)


def _kind_colour(row: Row) -> str:
    return "rank" if row.kind == "headrace" else "baseline"


def _rate(row: Row) -> float:
    return (row.flops or 0.0) / ((row.median or math.inf) * 1e6)


def _intensity(row: Row) -> float:
    return (row.flops or 0.0) / (row.bytes or 1.0)
