"""The two ways to put load on a target: a closed loop of workers, and an open one that users' arrivals drive."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np

from headrace.loadtest.clock import Clock
from headrace.loadtest.samples import Call, Floats, Samples, poisson_arrivals, samples_of
from headrace.loadtest.targets import Session, Target, Users

#: A worker's next call: (first request, how many); None ends the worker.
Next = Callable[[], tuple[int, int] | None]


def closed_loop(
    target: Target,
    users: Users,
    clock: Clock,
    *,
    workers: int,
    batch: int,
    seconds: float,
    warm_up: float,
    stop: threading.Event,
) -> Samples:
    """Each worker sends `batch` users a call, the next call when the last one came back.

    No call starts after `seconds`, but each worker makes at least one after the first `warm_up` seconds.
    """
    start, lock = clock.now(), threading.Lock()
    asked = 0

    def next_of() -> Next:
        measured = False

        def take() -> tuple[int, int] | None:
            nonlocal asked, measured
            now = clock.now() - start
            if stop.is_set() or (now >= seconds and measured):
                return None
            measured = now >= warm_up
            with lock:
                first, asked = asked, asked + batch
            return first, batch

        return take

    calls = _run(target, users, clock, start, [next_of() for _ in range(workers)], stop)
    return samples_of(calls, None, clock.now() - start)


def open_loop(
    target: Target,
    users: Users,
    clock: Clock,
    *,
    rate: float,
    workers: int,
    batch: int,
    gather: bool,
    seconds: float,
    seed: int,
    stop: threading.Event,
) -> Samples:
    """Requests are due at Poisson arrivals of `rate` a second, whether or not earlier ones have been answered.

    At most `workers` calls are under way at once; what is due meanwhile waits, and its wait counts.
    gather: a free worker sends what is due by then, up to `batch` requests (micro-batching); otherwise `batch` users
    arrive together and are one call. A target that falls behind gets half of `seconds` to catch up; what is not sent by
    then is given up.
    """
    due = poisson_arrivals(rate, seconds, 1 if gather else batch, seed)
    queue = _Queue(due, batch, gather, 1.5 * seconds, clock, stop)
    calls = _run(target, users, clock, queue.start, [queue.take] * workers, stop)
    return samples_of(calls, due, clock.now() - queue.start)


class _Queue:
    """Requests in the order in which they are due. The worker in front waits with the lock held; others wait for it."""

    def __init__(self, due: Floats, batch: int, gather: bool, last: float, clock: Clock, stop: threading.Event) -> None:
        self.start = clock.now()
        self._due, self._batch, self._gather, self._last = due, batch, gather, last
        self._clock, self._stop = clock, stop
        self._lock = threading.Lock()
        self._next = 0

    def take(self) -> tuple[int, int] | None:
        with self._lock:
            first = self._next
            if first == len(self._due):
                return None
            self._clock.sleep_until(self.start + self._due[first], self._stop)
            now = self._clock.now() - self.start
            if self._stop.is_set() or now > self._last:
                return None
            count = self._batch
            if self._gather:
                arrived = int(np.searchsorted(self._due, now, "right")) - first
                count = min(max(arrived, 1), self._batch)
            self._next += count
            return first, count


def _run(
    target: Target, users: Users, clock: Clock, start: float, nexts: list[Next], stop: threading.Event
) -> list[list[Call]]:
    """Every worker's calls. Ctrl-C sets `stop`; calls under way are waited for."""

    def work(take: Next) -> list[Call]:
        calls: list[Call] = []
        session = target.connect()
        try:
            while (asked := take()) is not None:
                first, count = asked
                batch = users.of(first, count)
                sent = clock.now() - start
                message = _send(session, batch)
                calls.append((first, count, sent, clock.now() - start, message))
        finally:
            session.close()
        return calls

    with ThreadPoolExecutor(len(nexts), "load") as pool:
        try:
            futures = [pool.submit(work, take) for take in nexts]
        except RuntimeError as error:
            # Fewer callers would be another load.
            stop.set()
            raise OSError(f"workers: expected {len(nexts)} threads, got fewer from this machine: {error}") from error
        try:
            wait(futures)
        except KeyboardInterrupt:
            stop.set()
    return [future.result() for future in futures]


def _send(session: Session, users: np.ndarray) -> str:
    """What went wrong, "" when nothing did. Whatever a target raises is an answer that a load must count."""
    try:
        session.send(users)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
