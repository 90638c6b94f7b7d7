"""Spans as trees: what ran inside what on each thread, and the time that was nobody else's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from headrace.kernels.spans import Span


@dataclass
class Call:
    """A span with the spans inside it, in order."""

    span: Span
    inner: list[Call] = field(default_factory=list)

    @property
    def self_ns(self) -> int:
        """Time that no inner span covers."""
        return self.span.ns - sum(call.span.ns for call in self.inner)

    def walk(self) -> Iterator[Call]:
        """This call and all inside it, outer ones first."""
        yield self
        for call in self.inner:
            yield from call.walk()


def nest(spans: Sequence[Span]) -> list[Call]:
    """The outermost calls, thread by thread and in order of time.

    Raises ValueError where two spans of a thread overlap without one holding the other.
    """
    threads: dict[int, list[Span]] = defaultdict(list)
    for span in spans:
        threads[span.thread].append(span)
    return [call for thread in threads.values() for call in _nest(thread)]


def _nest(spans: list[Span]) -> list[Call]:
    # Spans end inner first; of two that share both ends the later entry is the outer one.
    order = sorted(range(len(spans)), key=lambda i: (spans[i].start, -spans[i].end, -i))
    roots: list[Call] = []
    open_calls: list[Call] = []
    for span in (spans[i] for i in order):
        while open_calls and open_calls[-1].span.end <= span.start and open_calls[-1].span.end < span.end:
            open_calls.pop()
        if open_calls and span.end > open_calls[-1].span.end:
            outer = open_calls[-1].span
            raise ValueError(f"spans: {span.name} starts inside {outer.name} and ends after it, on one thread")
        call = Call(span)
        (open_calls[-1].inner if open_calls else roots).append(call)
        open_calls.append(call)
    return roots
