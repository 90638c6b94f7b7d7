"""Spans: what ran when, on which thread, recorded for the whole process. Off, a span costs one read of a global."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

import torch

from headrace.kernels.forks import Lock
from headrace.kernels.work import Counted

Kind = Literal["batch", "channel", "stage", "kernel", "torch"]


@dataclass(slots=True)
class Span:
    """A piece of work on one thread.

    thread: the system's id of the thread. start, end: nanoseconds of `time.perf_counter_ns`. items_in, items_out: over
    the whole call; None where not known. backend, counted: of a kernel.
    """

    kind: Kind
    name: str
    thread: int
    start: int
    end: int = 0
    items_in: int | None = None
    items_out: int | None = None
    backend: str = ""
    counted: Counted | None = None

    @property
    def ns(self) -> int:
        return self.end - self.start


class _Recorder:
    """The spans that have ended, and whether they are NVTX ranges too."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.nvtx = torch.cuda.is_available()


class _Open:
    """A span from the start to the end of a `with` block."""

    __slots__ = ("_recorder", "_span")

    def __init__(self, recorder: _Recorder, kind: Kind, name: str) -> None:
        self._recorder = recorder
        self._span = Span(kind, name, threading.get_native_id(), 0)

    def __enter__(self) -> Span:
        if self._recorder.nvtx:
            torch.cuda.nvtx.range_push(self._span.name)
        self._span.start = time.perf_counter_ns()
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._span.end = time.perf_counter_ns()
        if self._recorder.nvtx:
            torch.cuda.nvtx.range_pop()
        self._recorder.spans.append(self._span)


class _Off:
    """What a `with` block gets while nothing is recorded."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


_OFF = _Off()
_recorder: _Recorder | None = None
_switch = Lock()


def span(kind: Kind, name: str) -> _Open | _Off:
    """A `with` block as a span. Gives the `Span`, to be filled in, or None while nothing is recorded."""
    recorder = _recorder
    return _OFF if recorder is None else _Open(recorder, kind, name)


def active() -> bool:
    """Whether spans are recorded now."""
    return _recorder is not None


@contextmanager
def recording() -> Iterator[list[Span]]:
    """Records the spans of every thread; gives the list that they go to as they end. On a CUDA machine they are NVTX
    ranges too. RuntimeError where a recording is on already: there is one for the process."""
    global _recorder
    with _switch:
        if _recorder is not None:
            raise RuntimeError("spans: a recording is on already in this process")
        recorder = _recorder = _Recorder()
    try:
        yield recorder.spans
    finally:
        _recorder = None
