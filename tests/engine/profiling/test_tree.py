"""Trees of spans: nesting, self time, and torch's operators fitted in."""

from __future__ import annotations

import random

import pytest

from headrace.kernels.spans import Span
from headrace.profiling.torch_ops import merge
from headrace.profiling.trace import trace_events
from headrace.profiling.tree import nest


def span(name, start, end, kind="stage", thread=1):
    return Span(kind, name, thread, start, end)


def shape(calls):
    return [(call.span.name, call.self_ns, shape(call.inner)) for call in calls]


def test_spans_nest_by_time_and_thread():
    spans = [span("b", 2, 5), span("c", 5, 9), span("a", 0, 10), span("other", 3, 7, thread=2), span("next", 10, 12)]
    assert shape(nest(spans)) == [
        ("a", 3, [("b", 3, []), ("c", 4, [])]),
        ("next", 2, []),
        ("other", 4, []),
    ]
    assert nest([]) == []


def test_of_equal_spans_the_one_that_ended_last_is_outer():
    assert shape(nest([span("inner", 1, 4), span("outer", 1, 4)])) == [("outer", 0, [("inner", 3, [])])]


def test_empty_spans_are_kept():
    assert shape(nest([span("nothing", 4, 4), span("all", 0, 4)])) == [("all", 4, [("nothing", 0, [])])]


def test_overlapping_spans_are_an_error():
    with pytest.raises(ValueError, match="b starts inside a and ends after it"):
        nest([span("a", 0, 5), span("b", 3, 8)])


def test_operators_go_inside_our_spans():
    own = [span("kernel", 20, 30, "kernel"), span("stage", 10, 50), span("batch", 0, 60, "batch")]
    operators = [
        span("early", 9, 14, "torch"),  # its clock was a little behind: it belongs to the stage
        span("call", 15, 40, "torch"),  # holds the kernel
        span("late", 45, 51, "torch"),
        span("outside", 70, 80, "torch"),
        span("elsewhere", 10, 20, "torch", thread=9),
    ]
    merged = merge(own, operators)
    assert merged[:3] == own
    assert shape(nest(merged)) == [
        ("batch", 20, [("stage", 6, [("early", 4, []), ("call", 15, [("kernel", 10, [])]), ("late", 5, [])])])
    ]


def random_spans(rng, start, end, depth, thread, out):
    """Calls inside each other from `start` to `end`, recorded as they end."""
    at = start
    while at < end and rng.random() < 0.8:
        first = rng.randint(at, end)
        last = rng.randint(first, end)
        if depth:
            random_spans(rng, first, last, depth - 1, thread, out)
        out.append(span(f"d{depth}", first, last, thread=thread))
        at = last
    return out


@pytest.mark.parametrize("seed", range(40))
def test_operators_of_a_clock_that_is_off_still_nest(seed):
    """Random calls, and operators that nest among themselves but were measured up to 3 ns away."""
    rng = random.Random(seed)
    own, operators = [], []
    for thread in (1, 2):
        random_spans(rng, 0, 1000, 3, thread, own)
        shift = rng.randint(-3, 3)
        for op in random_spans(rng, 0, 1000, 3, thread, []):
            operators.append(Span("torch", "op", thread, op.start + shift, op.end + shift))
    merged = merge(own, operators)
    calls = [call for root in nest(merged) for call in root.walk()]
    assert len(calls) == len(merged)
    assert all(call.self_ns >= 0 for call in calls)
    assert all(a is b for a, b in zip(merged, own, strict=False))
    well_formed(trace_events(merged))


def well_formed(events):
    """Complete events of a thread lie inside or beside each other; every thread has a name."""
    whole = [event for event in events if event["ph"] == "X"]
    named = {event["tid"] for event in events if event["ph"] == "M" and event["name"] == "thread_name"}
    assert named == {event["tid"] for event in whole}
    for thread in named:
        ends = []
        for event in (event for event in whole if event["tid"] == thread):
            start, end = round(event["ts"] * 1000), round((event["ts"] + event["dur"]) * 1000)
            assert event["ts"] >= 0
            assert start <= end
            while ends and ends[-1] <= start and ends[-1] < end:
                ends.pop()
            assert not ends or end <= ends[-1]
            ends.append(end)
