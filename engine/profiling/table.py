"""Where the time went: a row for each stage, each kernel in it, and what is left for torch and Python."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from headrace.kernels.spans import Kind, Span
from headrace.profiling.tree import Call
from headrace.report import formats as f
from headrace.report.page import Table

#: What no kernel covers: of a stage, and of a batch.
REST = "torch and Python"
OUTSIDE = "ids, pages, Python"


@dataclass(frozen=True)
class Row:
    """All calls of one stage, or of one kernel in one stage; or the rest of a stage, which has no calls.

    level: 0 the batch, 1 a stage, 2 inside a stage. share: self time (of a stage: total time) of the batches' time.
    items_in, items_out: means a request. bytes, flops: the least that the calls must move and compute, None where not
    known; gb_s, gflop_s: those a second of the kernel's time.
    """

    level: int
    kind: Kind | None
    name: str
    backend: str = ""
    calls: int | None = None
    total_ms: float = 0.0
    self_ms: float = 0.0
    share: float = 0.0
    mean_ms: float | None = None
    p99_ms: float | None = None
    items_in: float | None = None
    items_out: float | None = None
    bytes: float | None = None
    flops: float | None = None
    gb_s: float | None = None
    gflop_s: float | None = None


def rows(batches: Sequence[Call], requests: int) -> list[Row]:
    """The table of recorded batches, which held `requests` requests. Stages and kernels in the order of their start."""
    whole = sum(batch.span.ns for batch in batches)
    stages: dict[tuple[Kind, str], list[Call]] = defaultdict(list)
    for batch in batches:
        for call in batch.inner:
            stages[call.span.kind, call.span.name].append(call)
    made = [_row(0, batches, whole, requests)]
    for calls in stages.values():
        made.append(_row(1, calls, whole, requests))
        made += _inside(calls, whole, requests)
    return [*made, _rest(1, OUTSIDE, batches, whole)]


def _inside(stage: Sequence[Call], whole: int, requests: int) -> Iterator[Row]:
    """The kernels of a stage, and the rest of it. A stage that is itself a kernel has nothing inside."""
    kernels: dict[tuple[str, str], list[Call]] = defaultdict(list)
    for call in stage:
        for inner in list(call.walk())[1:]:
            kernels[inner.span.name, inner.span.backend].append(inner)
    for calls in kernels.values():
        yield _row(2, calls, whole, requests)
    if stage[0].span.kind in ("channel", "stage"):
        yield _rest(2, REST, stage, whole)


def _row(level: int, calls: Sequence[Call], whole: int, requests: int) -> Row:
    first = calls[0].span
    ms = np.array([call.span.ns for call in calls]) / 1e6
    self_ms = sum(call.self_ns for call in calls) / 1e6
    counted = [span for call in calls for span in _counted(call)]
    work = [span.counted.work for span in counted if span.counted is not None and span.counted.work is not None]
    seconds = sum(span.ns for span in counted) / 1e9
    moved, computed = (sum(w.bytes for w in work), sum(w.flops for w in work)) if work else (None, None)
    # A stage holds more than its kernels, so a rate of it would say nothing.
    rate = first.kind == "kernel" and seconds > 0
    return Row(
        level,
        first.kind,
        first.name,
        first.backend,
        len(calls),
        float(ms.sum()),
        self_ms,
        (self_ms if first.kind == "kernel" else float(ms.sum())) * 1e6 / whole if whole else 0.0,
        float(ms.mean()),
        float(np.percentile(ms, 99)),
        _mean([call.span.items_in for call in calls], requests),
        _mean([call.span.items_out for call in calls], requests),
        moved,
        computed,
        moved / seconds / 1e9 if rate and moved else None,
        computed / seconds / 1e9 if rate and computed else None,
    )


def _counted(call: Call) -> list[Span]:
    """The spans of the outermost kernels in a call whose work is known."""
    if call.span.kind == "kernel":
        return [call.span] if call.span.counted is not None and call.span.counted.work is not None else []
    return [span for inner in call.inner for span in _counted(inner)]


def _rest(level: int, name: str, calls: Sequence[Call], whole: int) -> Row:
    ns = sum(call.self_ns for call in calls)
    return Row(level, None, name, total_ms=ns / 1e6, self_ms=ns / 1e6, share=ns / whole if whole else 0.0)


def _mean(items: Sequence[int | None], requests: int) -> float | None:
    known = [n for n in items if n is not None]
    return sum(known) / requests if len(known) == len(items) else None


def operators(batches: Sequence[Call]) -> list[Row]:
    """torch's operators that ran in the batches, the largest self time first."""
    whole = sum(batch.span.ns for batch in batches)
    found: dict[str, list[Call]] = defaultdict(list)
    for batch in batches:
        for call in batch.walk():
            if call.span.kind == "torch":
                found[call.span.name].append(call)
    made = []
    for name, calls in found.items():
        # Self time only: an operator may call itself, and its total would count twice.
        own = sum(call.self_ns for call in calls)
        share = own / whole if whole else 0.0
        made.append(Row(2, "torch", name, "", len(calls), own / 1e6, own / 1e6, share, own / 1e6 / len(calls)))
    return sorted(made, key=lambda row: -row.self_ms)


def stage_table(rows: Sequence[Row], batches: int, batch: int) -> Table:
    """The rows as text, for the terminal and the page."""
    columns = ["where", "calls", "total\nms", "self\nms", "share", "mean\nms", "p99\nms"]
    columns += ["items\nin", "items\nout", "MB", "GB/s", "GFLOP\n/s"]
    return Table(
        f"{f.count(batches)} batches of {batch}: where their time went",
        columns,
        [_cells(row) for row, above in zip(rows, [None, *rows], strict=False) if not _repeats(row, above)],
        note=(
            f"self: outside what is listed inside; a stage without kernels is all {REST}. share: of the batches' time; "
            "a stage's is the sum of what stands under it. Items are means a request. MB: the least that all calls "
            "must read and write; GB/s and GFLOP/s: that, and the least arithmetic, by the kernel's time."
        ),
    )


def _repeats(row: Row, above: Row | None) -> bool:
    """Whether a row is the rest of a stage without kernels, and so says nothing new."""
    return row.kind is None and row.level == 2 and above is not None and above.level == 1


def operator_table(rows: Sequence[Row], most: int = 12) -> Table:
    """The first `most` operators as text."""
    cells = [
        [r.name, f.count(r.calls), f.significant(r.self_ms, 4), f.significant(r.mean_ms), f.percent(r.share)]
        for r in rows[:most]
    ]
    note = "By torch.profiler, which makes small operators look dearer than they are; the stages' table is without it."
    columns = ["operator", "calls", "self ms", "self ms/call", "share"]
    return Table("torch operators by self time", columns, cells, note=note)


def _cells(row: Row) -> list[str]:
    name = "  " * row.level + row.name.replace("_", " ") + (f" ({row.backend})" if row.backend else "")
    return [
        name.replace(" ", "\u00a0"),  # a page would drop the spaces that indent, and break the line at others
        f.count(row.calls),
        f.significant(row.total_ms, 4),
        f.significant(row.self_ms, 4),
        f.percent(row.share),
        f.significant(row.mean_ms),
        f.significant(row.p99_ms),
        _items(row.items_in),
        _items(row.items_out),
        f.significant(row.bytes / 1e6) if row.bytes is not None else f.DASH,
        f.significant(row.gb_s),
        f.significant(row.gflop_s),
    ]


def _items(count: float | None) -> str:
    """As few characters as three digits need: 156, 1,743, 100k."""
    return f.short(float(f"{count:.3g}")) if f.finite(count) and count >= 10_000 else f.count(count)
