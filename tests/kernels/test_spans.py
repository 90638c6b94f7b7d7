"""Spans: nothing off, everything on, each thread its own; kernels get them from the registry alone."""

from __future__ import annotations

import threading

import pytest
import torch

from headrace import kernels
from headrace.kernels import spans
from headrace.kernels.registry import OPS

CPU = torch.device("cpu")


def search():
    return kernels.topk(torch.randn(2, 3), torch.randn(5, 3), 4)


def test_off_gives_nothing_and_the_function_itself():
    assert not spans.active()
    with spans.span("stage", "merge") as span:
        assert span is None
    for op in OPS.values():
        assert op.pick("native", CPU) is op.function("native")


def test_off_allocates_nothing():
    assert spans.span("stage", "a") is spans.span("kernel", "b")


def test_a_recording_holds_what_ran_with_its_counts():
    with spans.recording() as recorded:
        assert spans.active()
        with spans.span("stage", "recall") as stage:
            assert stage is not None
            search()
    assert not spans.active()
    kernel, outer = recorded
    assert outer is stage
    assert (outer.kind, outer.name, kernel.kind, kernel.name) == ("stage", "recall", "kernel", "topk")
    assert outer.start <= kernel.start < kernel.end <= outer.end
    assert outer.thread == kernel.thread == threading.get_native_id()
    assert (kernel.backend, kernel.items_in, kernel.items_out) == ("native", 10, 8)
    assert kernel.counted is not None
    assert kernel.counted.work is not None


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_answers_are_the_same_while_recorded(backend):
    queries, items = torch.randn(7, 5), torch.randn(33, 5)
    plain = kernels.topk(queries, items, 4, backend=backend)
    with spans.recording() as recorded:
        again = kernels.topk(queries, items, 4, backend=backend)
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
    assert recorded[-1].backend == backend


def test_an_op_without_counts_has_a_span_all_the_same(monkeypatch):
    monkeypatch.setattr("headrace.kernels.registry._load_count", lambda package, name: None)
    with spans.recording() as recorded:
        search()
    assert (recorded[0].name, recorded[0].counted, recorded[0].items_in) == ("topk", None, None)


def test_an_error_ends_its_span():
    with spans.recording() as recorded, pytest.raises(RuntimeError, match="boom"), spans.span("stage", "merge"):
        raise RuntimeError("boom")
    assert recorded[0].end >= recorded[0].start > 0


def test_one_recording_at_a_time():
    with spans.recording(), pytest.raises(RuntimeError, match="a recording is on already"), spans.recording():
        pass
    with spans.recording() as recorded:
        assert recorded == []


def test_threads_keep_their_own():
    def work():
        with spans.span("batch", "ask"):
            search()

    with spans.recording() as recorded:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(recorded) == 8
    for thread in {span.thread for span in recorded}:
        mine = sorted((span for span in recorded if span.thread == thread), key=lambda span: span.start)
        assert all(span.end <= mine[0].end for span in mine if span.start < mine[0].end)
