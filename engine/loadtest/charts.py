"""The charts of a load run: the knee of latency against throughput, and the sweeps."""

from __future__ import annotations

from collections.abc import Callable

from headrace.loadtest.model import LoadReport, Step
from headrace.report import formats as f
from headrace.report.charts import Chart, Series, line_chart, log_ticks

#: A percentile has one colour on every chart.
_PERCENTILES = (("p50", "p50", "recall"), ("p99", "p99", "rerank"), ("p99.9", "p999", "merge"))
_Size = Callable[[Step], int]


def charts(report: LoadReport) -> dict[str, list[Chart]]:
    """Section key -> its charts, in order."""
    return {
        "offered": _knee(report),
        "batches": _sweep(report.batches, lambda step: step.batch, "users a call (logarithmic)", grows=False),
        "threads": _sweep(report.threads, lambda step: step.threads, "threads (logarithmic)", grows=True),
        "workers": _sweep(report.workers, lambda step: step.workers, "connections (logarithmic)", grows=False),
    }


def _knee(report: LoadReport) -> list[Chart]:
    steps = sorted((s for s in report.offered if s.requests and s.achieved), key=lambda step: step.achieved)
    if not steps:
        return []
    kept, full = [s for s in steps if not s.saturated], [s for s in steps if s.saturated]
    series = [_percentile(name, key, colour, kept, lambda step: step.achieved) for name, key, colour in _PERCENTILES]
    # A saturated step's latency is no function of its load: no line goes there.
    for name, key, colour in _PERCENTILES:
        points = _percentile(name, key, colour, full, lambda step: step.achieved).points
        series.append(Series("saturated" if key == "p99" and full else "", points, colour, hollow=True))
    slo, offered = report.plan.slo_ms, [step.offered or 0.0 for step in steps]
    ends = [*offered, *(step.achieved for step in steps)]
    known = [y for line in series for _, y in line.points]
    floor = log_ticks(min(*known, slo), max(*known, slo))[0]
    series.append(Series("load offered", [(x, floor) for x in offered], "muted", hollow=True))
    series.append(Series(f"limit, {slo:g} ms", [(min(ends), slo), (max(ends), slo)], "muted", dashed=True))
    title = "Latency from when requests were due"
    across, up = "requests answered a second", "milliseconds (logarithmic)"
    knee = line_chart(title, across, up, series, f.short_ticks, f.short_ticks, log="y")
    steps.sort(key=lambda step: step.offered or 0.0)
    same = Series("all that was offered", [(0.0, 0.0), (max(ends), max(ends))], "muted", dashed=True)
    answered = Series("answered", [(step.offered or 0.0, step.achieved) for step in steps], "rank", dots=True)
    title, across, up = "Requests answered of those offered", "requests offered a second", "requests answered a second"
    return [knee, line_chart(title, across, up, [same, answered], f.short_ticks, f.short_ticks)]


def _sweep(steps: list[Step], size: _Size, x_label: str, grows: bool) -> list[Chart]:
    drawn = [step for step in steps if step.requests]
    if len(drawn) < 2:
        return []
    sizes = sorted({float(size(step)) for step in drawn})
    rates = [(float(size(step)), step.achieved) for step in drawn]
    series = [Series("measured" if grows else "", rates, "rank", dots=True)]
    if grows:
        per_one = rates[0][1] / rates[0][0]
        series.append(Series("if each added as much", [(x, x * per_one) for x in sizes], "muted", dashed=True))
    # From zero, so that heights compare.
    series.append(Series("", [(sizes[0], 0.0)], "muted"))
    latencies = [_percentile(name, key, colour, drawn, size) for name, key, colour in _PERCENTILES]
    rate = line_chart(
        "Requests a second", x_label, "requests a second", series, f.short_ticks, f.short_ticks, log="x", x_at=sizes
    )
    time = line_chart(
        "Latency of a call",
        x_label,
        "milliseconds (logarithmic)",
        latencies,
        f.short_ticks,
        f.short_ticks,
        log="xy",
        x_at=sizes,
    )
    return [rate, time]


def _percentile(name: str, key: str, colour: str, steps: list[Step], at: Callable[[Step], float]) -> Series:
    points = [(float(at(step)), getattr(step.latency, key)) for step in steps]
    return Series(name if points else "", points, colour, dots=True)
