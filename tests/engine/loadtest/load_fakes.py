"""A clock that only calls move, and targets that move it."""

from __future__ import annotations

import threading


class VirtualClock:
    """Time stands still but for `sleep_until` and what a target spends."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def sleep_until(self, moment: float, stop: threading.Event) -> None:
        self.time = max(self.time, moment)


class Slow:
    """Spends `seconds(call number, users)` of the clock, and raises where `fails(call number)`."""

    name = "fake"
    in_process = False
    batches = True

    def __init__(self, clock, seconds=lambda call, users: 0.001, fails=lambda call: False):
        self.clock, self.seconds, self.fails = clock, seconds, fails
        self.calls: list[list[int]] = []
        self.closed = 0

    def connect(self):
        return self

    def send(self, users):
        number = len(self.calls)
        self.calls.append(users.tolist())
        self.clock.time += self.seconds(number, users)
        if self.fails(number):
            raise RuntimeError(f"call {number} broke")

    def close(self):
        self.closed += 1
