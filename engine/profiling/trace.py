"""Spans as a trace file that chrome://tracing and ui.perfetto.dev open."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headrace.kernels import atomic
from headrace.kernels.spans import Span

_PROCESS = 1


def trace_events(spans: Sequence[Span]) -> list[dict[str, Any]]:
    """Complete events ("ph": "X") of the Trace Event Format, in microseconds from the first span; a thread a row.

    Source: Google, "Trace Event Format", 2016.
    """
    zero = min((span.start for span in spans), default=0)
    threads = list(dict.fromkeys(span.thread for span in sorted(spans, key=lambda span: span.start)))
    names = [_name(0, "process_name", "headrace")]
    names += [_name(thread, "thread_name", f"caller {place}") for place, thread in enumerate(threads, 1)]
    # Outer spans first, so that a viewer nests those that start at the same moment rightly.
    return names + [_event(span, zero) for span in sorted(spans, key=lambda span: (span.start, -span.end))]


def write_trace(spans: Sequence[Span], facts: dict[str, Any], path: Path) -> None:
    """facts: what a reader of the file must know, kept in it as "otherData"."""
    whole = {"traceEvents": trace_events(spans), "displayTimeUnit": "ms", "otherData": facts}
    with atomic.replace(path) as part:
        part.write_text(json.dumps(whole), encoding="utf-8")


def _name(thread: int, what: str, name: str) -> dict[str, Any]:
    return {"ph": "M", "pid": _PROCESS, "tid": thread, "name": what, "args": {"name": name}}


def _event(span: Span, zero: int) -> dict[str, Any]:
    args: dict[str, Any] = {}
    if span.items_in is not None:
        args |= {"items in": span.items_in, "items out": span.items_out}
    if span.backend:
        args["backend"] = span.backend
    work = span.counted.work if span.counted is not None else None
    if work is not None:
        ns = max(span.ns, 1)
        args |= {"bytes": work.bytes, "GB/s": work.bytes / ns, "flops": work.flops, "GFLOP/s": work.flops / ns}
    return {
        "ph": "X",
        "cat": span.kind,
        "name": span.name,
        "pid": _PROCESS,
        "tid": span.thread,
        "ts": (span.start - zero) / 1000,
        "dur": span.ns / 1000,
        "args": args,
    }
