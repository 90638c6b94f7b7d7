"""Recall against latency: each approximate way as a line over its settings, exact ones as rings."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.benchmarks.harness.results import Results, Row
from headrace.benchmarks.report.cases import answers
from headrace.report import formats as f
from headrace.report.charts import LineChart, Series, line_chart
from headrace.report.drawing import drawing

OP = "ann"
COLOURS = {"IVF": "recall", "IVF-PQ": "merge", "HNSW": "rank", "LSH": "filter"}
EXACT = {"exact, int8": "rerank", "exact, float32": "baseline"}


def recall_chart(title: str, rows: Sequence[Row]) -> LineChart:
    """Rows of one case; providers are named "<way>, <settings>"."""
    series = [
        Series(way, points, colour, dots=True)
        for way, colour in COLOURS.items()
        if (points := _points([row for row in rows if row.provider.startswith(f"{way},")]))
    ]
    series += [
        Series(name, points, colour, hollow=True)
        for name, colour in EXACT.items()
        if (points := _points([row for row in rows if row.provider == name]))
    ]
    least = min(recall for one in series for _, recall in one.points)
    ticks = [tick / 10 for tick in range(int(least * 5) * 2, 11, 2 if least < 0.6 else 1)]
    label = f"recall@{rows[0].params['k']}"
    return line_chart(title, "ms", label, series, f.short_ticks, f.percent_ticks, log="x", y_at=ticks)


def _points(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """(ms, recall) in the order of the settings."""
    return [(float(row.median or 0), row.metrics.get("share right", 1.0)) for row in rows]


def recall_drawing(results: Results) -> str:
    """All cases in one SVG. Raises ValueError when the results have none."""
    charts = [recall_chart(_title(one.rows[0]), one.rows) for one in answers(results) if one.op == OP]
    if not charts:
        raise ValueError(f"results: expected timed cases of op {OP}, got none")
    row = results.rows[0]
    words = [str(results.machine.get("cpu", row.device)), row.isa, f"{row.threads} threads", row.time[:10]]
    faiss = row.versions.get("faiss-cpu")
    words += [f"FAISS {faiss}"] if faiss else []
    return drawing(charts, f"{', '.join(words)}, revision {row.commit[:10]}")


def _title(row: Row) -> str:
    items, batch = row.params["items"], row.params["batch"]
    queries = "1 query" if batch == 1 else f"{batch} queries"
    return f"{f.count(items)} items x {row.params['dim']} ({row.params['data']}), {queries}"
