"""A whole load run: a closed loop for the capacity, offered loads up to and past it, and the sweeps of sizes."""

from __future__ import annotations

import datetime
import os
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

from headrace.doctor import machine_record
from headrace.kernels.settings import all_threads
from headrace.loadtest.clock import Clock, SystemClock
from headrace.loadtest.loops import closed_loop, open_loop
from headrace.loadtest.model import Latency, LoadReport, Plan, Step, reasons_of
from headrace.loadtest.samples import Samples
from headrace.loadtest.summary import backlog_grew, closed_rate, latency_of, open_latencies
from headrace.loadtest.targets import Target, Users
from headrace.version import __version__

#: Told of each step as it begins, in words.
Tell = Callable[[str], None]


def measure(
    target: Target, users: Users, plan: Plan, clock: Clock | None = None, tell: Tell = lambda _: None
) -> LoadReport:
    """Runs every step of `plan`. Ctrl-C ends it early, with the finished steps; so does a step without success.

    Raises ValueError for a plan that the target cannot serve, and what the target raises at its very first request.
    """
    most = max(plan.batch, *plan.batches, 1)
    if most > 1 and not target.batches:
        raise ValueError(f"batch: expected 1, as neither the URL nor the body has {{users}} in it; got {most}")
    report = LoadReport(
        target.name,
        target.in_process,
        datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        __version__,
        machine_record(),
        usable_cores(),
        plan,
    )
    runner = _Runner(target, users, clock or SystemClock(), tell)
    try:
        _knock(target, users)
        _steps(runner, plan, report)
    except KeyboardInterrupt:
        report.interrupted = True
    except NothingAnswered as error:
        report.failure = str(error)
    return report


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class NothingAnswered(Exception):
    """A step in which no request succeeded; the rest of the run would say nothing."""


def _knock(target: Target, users: Users) -> None:
    """One request before the load: a target that cannot answer it should say why, not fill a table with errors."""
    session = target.connect()
    try:
        session.send(users.of(0, 1))
    finally:
        session.close()


def _steps(runner: _Runner, plan: Plan, report: LoadReport) -> None:
    report.closed = runner.closed(plan, "closed loop")
    capacity = report.closed.achieved
    for number, load in enumerate(plan.loads):
        report.offered.append(runner.open(plan, load, load * capacity, plan.seed + number))
    for size in plan.batches:
        report.batches.append(runner.closed(replace(plan, batch=size), f"batches of {size}"))
    for size in plan.threads_swept:
        report.threads.append(runner.closed(replace(plan, threads=size), f"threads: {size}"))
    for size in plan.workers_swept:
        report.workers.append(runner.closed(replace(plan, workers=size), f"connections: {size}"))


class _Runner:
    """Runs single steps. An interrupted step is thrown away: its window was cut short."""

    def __init__(self, target: Target, users: Users, clock: Clock, tell: Tell) -> None:
        self._target, self._users, self._clock, self._tell = target, users, clock, tell
        self._stop = threading.Event()

    def closed(self, plan: Plan, words: str) -> Step:
        self._tell(words)
        samples, busy = self._timed(
            plan,
            lambda: closed_loop(
                self._target,
                self._users,
                self._clock,
                workers=plan.workers,
                batch=plan.batch,
                seconds=plan.warm_up + plan.seconds,
                warm_up=plan.warm_up,
                stop=self._stop,
            ),
        )
        measured = samples.sent >= plan.warm_up
        good = measured & samples.ok
        latency = latency_of(samples.done[good] - samples.sent[good])
        step = Step(
            batch=plan.batch,
            threads=plan.threads,
            workers=plan.workers,
            seconds=samples.ended - plan.warm_up,
            achieved=closed_rate(samples, measured),
            requests=int(good.sum()),
            latency=latency,
            latency_from_send=latency,
            mean_batch=float(plan.batch),
            busy=busy,
            failures=samples.failures(measured),
        )
        return _answered(step, words)

    def open(self, plan: Plan, load: float, rate: float, seed: int) -> Step:
        words = f"offered {load:.0%}"
        self._tell(words)
        start, end = plan.warm_up, plan.warm_up + plan.seconds
        samples, busy = self._timed(
            plan,
            lambda: open_loop(
                self._target,
                self._users,
                self._clock,
                rate=rate,
                workers=plan.workers,
                batch=plan.batch,
                gather=plan.gather,
                seconds=end,
                seed=seed,
                stop=self._stop,
            ),
        )
        measured, unsent = samples.due >= start, samples.unsent[samples.unsent >= start]
        good = measured & samples.ok
        due, sent_late = open_latencies(samples, measured, unsent)
        in_window = samples.ok & (samples.done >= start) & (samples.done < end)
        step = Step(
            batch=plan.batch,
            threads=plan.threads,
            workers=plan.workers,
            seconds=plan.seconds,
            achieved=float(in_window.sum()) / plan.seconds,
            requests=int(good.sum()),
            latency=due if good.any() else Latency(),
            latency_from_send=sent_late,
            load=load,
            offered=(int(measured.sum()) + len(unsent)) / plan.seconds,
            mean_batch=_mean_batch(samples),
            busy=busy,
            failures=samples.failures(measured),
            unsent=len(unsent),
            saturated=backlog_grew(samples, start, end, plan.batch),
        )
        return _answered(step, words)

    def _timed(self, plan: Plan, run: Callable[[], Samples]) -> tuple[Samples, float | None]:
        """The step's samples, and how many cores this process kept busy meanwhile."""
        inside = all_threads(plan.threads) if self._target.in_process else nullcontext()
        with inside:
            cpu, wall = time.process_time(), time.perf_counter()
            samples = run()
            busy = (time.process_time() - cpu) / (time.perf_counter() - wall)
        if self._stop.is_set():
            raise KeyboardInterrupt
        return samples, busy if self._target.in_process else None


def _mean_batch(samples: Samples) -> float | None:
    calls = (1 / samples.batch).sum()
    return float(len(samples.batch) / calls) if calls else None


def _answered(step: Step, words: str) -> Step:
    if step.errors and not step.requests:
        raise NothingAnswered(f"{words}: none of {step.errors:,} requests succeeded; {reasons_of([step])}")
    return step
