"""The charts of a load run: the knee of latency against throughput, and the sweeps."""

from __future__ import annotations

from collections.abc import Callable

from headrace.loadtest.model import LoadReport, Step
from headrace.report import formats as f
from headrace.report.charts import LineChart, Series, line_chart

#: A percentile has one colour on every chart.
_PERCENTILES = (("p50", "p50", "recall"), ("p99", "p99", "rerank"), ("p99.9", "p999", "merge"))
_Size = Callable[[Step], int]


def charts(report: LoadReport) -> dict[str, list[LineChart]]:
    """Section key -> its charts, in order."""
    return {
        "offered": _knee(report),
        "batches": _sweep(report.batches, lambda step: step.batch, "users a call (logarithmic)", grows=False),
        "threads": _sweep(report.threads, lambda step: step.threads, "threads (logarithmic)", grows=True),
        "workers": _sweep(report.workers, lambda step: step.workers, "connections (logarithmic)", grows=False),
    }


def _knee(report: LoadReport) -> list[LineChart]:
    steps = sorted((s for s in report.offered if s.requests and s.achieved), key=lambda step: step.offered or 0.0)
    if not steps:
        return []
    slo = report.plan.slo_ms
    ends = [min(s.achieved for s in steps), max(max(s.achieved, s.offered or 0.0) for s in steps)]
    series = [_percentile(name, key, colour, steps, lambda step: step.achieved) for name, key, colour in _PERCENTILES]
    offered = [(s.offered, s.latency.p99) for s in steps]
    known = [(x, y) for x, y in offered if x is not None and y is not None]
    series.append(Series("offered, at its p99", known, "rerank", hollow=True))
    series.append(Series(f"limit, {f.significant(slo)} ms", [(x, slo) for x in ends], "muted", dashed=True))
    title = "Latency against requests answered, from when they were due"
    return [
        line_chart(
            title,
            "requests a second",
            "milliseconds (logarithmic)",
            series,
            f.short_ticks,
            f.short_ticks,
            log="y",
        )
    ]


def _sweep(steps: list[Step], size: _Size, x_label: str, grows: bool) -> list[LineChart]:
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
    labels = ["saturated" if step.saturated and key == "p999" else "" for step in steps]
    return Series(name, points, colour, dots=True, labels=labels if any(labels) else [])
