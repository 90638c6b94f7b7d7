"""torch's own operators as spans on our clock, from torch.profiler."""

from __future__ import annotations

import json
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
from headrace.profiling.tree import Call, nest

_MARK = "headrace clock"


@contextmanager
def recording_torch() -> Iterator[list[Span]]:
    """Records torch's operators of every thread; the list is filled when the block ends."""
    found: list[Span] = []
    marks: list[tuple[int, int]] = []
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
    return round(float(event["dur"]) * 1000)


def merge(own: Sequence[Span], operators: Sequence[Span]) -> list[Span]:
    """Our spans, as they are, and the operators that ran inside them, on the threads that have spans of ours.

    The clocks agree to some microseconds only, so an operator's end may lie across a boundary of ours; it is moved to
    the boundary, whichever end needs the smaller change.
    """
    moments: dict[int, list[tuple[int, Call | None]]] = defaultdict(list)
    for call in nest(own):
        moments[call.span.thread].extend(_moments(call, None))
    places = {thread: [moment for moment, _ in found] for thread, found in moments.items()}
    open_calls = {thread: [None, *(call for _, call in found)] for thread, found in moments.items()}
    threads: dict[int, list[Span]] = defaultdict(list)
    for operator in operators:
        thread = operator.thread
        fitted = _fit(operator, places[thread], open_calls[thread]) if thread in places else None
        if fitted is not None:
            threads[thread].append(fitted)
    return [*own, *(op for ops in threads.values() for op in _inside_each_other(ops))]


def _moments(call: Call, outer: Call | None) -> Iterator[tuple[int, Call | None]]:
    """The moments where the innermost open call changes, in order, each with the call that is open then."""
    yield call.span.start, call
    for inner in call.inner:
        yield from _moments(inner, call)
    yield call.span.end, outer


def _fit(operator: Span, places: list[int], open_calls: list[Call | None]) -> Span | None:
    """The operator with both ends inside the same call of ours; None where nothing of it is left, or it is outside.

    places: the moments. open_calls: the innermost call before the first moment and after each.
    """
    start, end = operator.start, operator.end
    while start < end:
        first, last = bisect_right(places, start), bisect_left(places, end)
        if open_calls[first] is open_calls[last]:
            return None if open_calls[first] is None else replace(operator, start=start, end=end)
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
