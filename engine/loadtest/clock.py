"""The clock that a load runs by. Tests put one in its place that only calls move."""

from __future__ import annotations

import threading
import time
from typing import Protocol

#: Seconds after which a wait looks whether it is still wanted.
_NAP = 0.05


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    def sleep_until(self, moment: float, stop: threading.Event) -> None:
        """Returns at `moment`, or soon after `stop` is set."""
        ...


class SystemClock:
    """The monotonic clock of the machine."""

    def now(self) -> float:
        return time.perf_counter()

    def sleep_until(self, moment: float, stop: threading.Event) -> None:
        while (left := moment - time.perf_counter()) > 0 and not stop.is_set():
            time.sleep(min(left, _NAP))
