"""torch's own operators as spans on our clock, from torch.profiler."""

from __future__ import annotations

import json
import os
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity, profile, record_function

from headrace.kernels.spans import Span

_MARK = "headrace clock"


@contextmanager
def recording_torch() -> Iterator[list[Span]]:
    """Records torch's operators of every thread; the list is filled when the block ends."""
    found: list[Span] = []
    marks: list[tuple[int, int]] = []
    # The report of its own start and stop is noise on a command line.
    os.environ.setdefault("KINETO_LOG_LEVEL", "3")
    with profile(activities=[ProfilerActivity.CPU], experimental_config=_every_thread()) as profiler:
        for _ in range(20):
            before = time.perf_counter_ns()
            with record_function(_MARK):
                pass
            marks.append((before, time.perf_counter_ns()))
        yield found
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "torch.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    found.extend(_spans(events, marks))


def _every_thread() -> Any:
    """The setting that has all threads recorded; None, so that only the calling one is, before torch had it."""
    try:
        from torch._C._profiler import _ExperimentalConfig

        return _ExperimentalConfig(profile_all_threads=True)
    except (ImportError, TypeError):
        return None


def _spans(events: list[dict[str, Any]], marks: list[tuple[int, int]]) -> list[Span]:
    whole = [event for event in events if event.get("ph") == "X"]
    marked = sorted(round(event["ts"] * 1000) for event in whole if event["name"] == _MARK)
    # Each mark was made between two readings of our clock; the closest pair says best how far the clocks differ.
    (before, after), theirs = min(zip(marks, marked, strict=True), key=lambda pair: pair[0][1] - pair[0][0])
    shift = (before + after) // 2 - theirs
    return [
        Span("torch", event["name"], event["tid"], start := round(event["ts"] * 1000) + shift, start + _ns(event))
        for event in whole
        if event.get("cat") == "cpu_op"
    ]


def _ns(event: dict[str, Any]) -> int:
    return round(event["dur"] * 1000)


def merge(own: Sequence[Span], operators: Sequence[Span]) -> list[Span]:
    """Our spans, as they are, and the operators that ran inside them, on the threads that have spans of ours.

    The clocks agree to some microseconds only, so an operator's end may lie across a boundary of ours; it is moved to
    the boundary, whichever end needs the smaller change.
    """
    boundaries, contexts = _contexts(own)
    threads: dict[int, list[Span]] = defaultdict(list)
    for operator in operators:
        if operator.thread in boundaries:
            places = boundaries[operator.thread]
            fitted = _fit(operator, places, contexts[operator.thread])
            if fitted is not None:
                threads[operator.thread].append(fitted)
    return [*own, *(op for thread in threads.values() for op in _inside_each_other(thread))]


def _contexts(own: Sequence[Span]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """For each thread, the moments where one of our spans starts or ends, and after each the span that is open then
    (its number; -1 none). contexts has one entry more, for before the first moment."""
    edges: dict[int, list[tuple[int, int, int, int]]] = defaultdict(list)
    for number, span in enumerate(own):
        # At one moment, ends come before starts, inner ends before outer ones, outer starts before inner ones.
        edges[span.thread].append((span.start, 1, -span.end, number))
        edges[span.thread].append((span.end, 0, -span.start, number))
    boundaries, contexts = {}, {}
    for thread, moments in edges.items():
        open_spans = [-1]
        context = [-1]
        for _, starts, _, number in sorted(moments):
            if starts:
                open_spans.append(number)
            else:
                open_spans.remove(number)
            context.append(open_spans[-1])
        boundaries[thread], contexts[thread] = [moment[0] for moment in sorted(moments)], context
    return boundaries, contexts


def _fit(operator: Span, places: list[int], context: list[int]) -> Span | None:
    """The operator with both ends inside the same span of ours; None where nothing of it is left, or it is outside."""
    start, end = operator.start, operator.end
    while start < end:
        first, last = bisect_right(places, start), bisect_left(places, end)
        if context[first] == context[last]:
            return replace(operator, start=start, end=end) if context[first] >= 0 else None
        if places[first] - start <= end - places[last - 1]:
            start = places[first]
        else:
            end = places[last - 1]
    return None


def _inside_each_other(operators: list[Span]) -> list[Span]:
    """Operators of one thread, each ending no later than the one it is in: times were rounded to nanoseconds."""
    operators.sort(key=lambda op: (op.start, -op.end))
    open_ends: list[int] = []
    for op in operators:
        while open_ends and open_ends[-1] <= op.start:
            open_ends.pop()
        if open_ends:
            op.end = min(op.end, open_ends[-1])
        open_ends.append(op.end)
    return operators
