"""Limits of time: what takes too long is left, so that the rest has its turn."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


class OutOfTime(BaseException):
    """A block took longer than it may. No Exception, so that nothing on the way takes it for its own."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises OutOfTime inside the block after so many seconds. Main thread only; blocks may nest."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise OutOfTime(f"took longer than {seconds:.0f} s")

    start = time.monotonic()
    before = signal.signal(signal.SIGALRM, stop)
    outer, _ = signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        left = max(outer - (time.monotonic() - start), 1e-3) if outer else 0.0
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left)


@dataclass
class Deadline:
    """The end of the whole run, as time.monotonic() has it."""

    end: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds)

    @property
    def left(self) -> float:
        return self.end - time.monotonic()

    def share(self, part: float) -> Deadline:
        """The moment when so much of what is left is over."""
        return Deadline.after(self.left * part)
