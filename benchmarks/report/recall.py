"""Recall against latency: each approximate way as a line over its settings, exact ones as rings."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.benchmarks.harness.results import Results, Row
from headrace.benchmarks.report.cases import answers
from headrace.report import formats as f
from headrace.report.charts import LineChart, Series, line_chart
from headrace.report.drawing import drawing

OP = "ann"
COLOURS = {"IVF": "recall", "IVF-PQ": "merge", "HNSW": "rank", "LSH": "filter", "exact": "rerank"}


def recall_chart(title: str, rows: Sequence[Row]) -> LineChart:
    """Rows of one case; providers are named "<way>, <settings>"."""
    ways = dict.fromkeys(row.provider.split(", ")[0] for row in rows)
    series = []
    for way in sorted(ways, key=list(COLOURS).index):
        own = [row for row in rows if row.provider.split(", ")[0] == way]
        points = sorted((float(row.median or 0), row.metrics.get("share right", 1.0)) for row in own)
        if way == "exact":
            labels = [row.provider.split(", ")[1] for row in sorted(own, key=lambda row: row.median or 0)]
            series.append(Series(way, points, COLOURS[way], hollow=True, labels=labels))
        else:
            series.append(Series(way, points, COLOURS[way], dots=True))
    k = rows[0].params["k"]
    return line_chart(title, "ms for the batch", f"recall@{k}", series, f.short_ticks, f.percent_ticks, log="x")


def recall_drawing(results: Results) -> str:
    """All cases in one SVG. Raises ValueError when the results have none."""
    charts = [recall_chart(_title(one.rows[0]), one.rows) for one in answers(results) if one.op == OP]
    if not charts:
        raise ValueError(f"results: expected timed cases of op {OP}, got none")
    row = results.rows[0]
    words = [str(results.machine.get("cpu", row.device)), row.isa, f"{row.threads} threads", row.time[:10]]
    faiss = row.versions.get("faiss")
    words += [f"FAISS {faiss}"] if faiss else []
    return drawing(charts, f"{', '.join(words)}, revision {row.commit[:10]}")


def _title(row: Row) -> str:
    items, batch = row.params["items"], row.params["batch"]
    queries = "1 query" if batch == 1 else f"{batch} queries"
    return f"{f.count(items)} items x {row.params['dim']} ({row.params['data']}), {queries}"
