"""Both loops by a virtual clock: what is due when, what is sent when, and what a stall does to the percentiles."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from load_fakes import Slow, VirtualClock

from headrace.loadtest import Users
from headrace.loadtest.clock import SystemClock
from headrace.loadtest.loops import closed_loop, open_loop
from headrace.loadtest.samples import poisson_arrivals
from headrace.loadtest.summary import backlog_grew, closed_rate, latency_of, open_latencies

USERS = Users(np.arange(1000))


def opened(target, clock, **changes):
    options = {"rate": 400.0, "workers": 1, "batch": 1, "gather": True, "seconds": 10.0, "seed": 3}
    return open_loop(target, USERS, clock, **{**options, **changes}, stop=threading.Event())


def closed(target, clock, **changes):
    options = {"workers": 1, "batch": 1, "seconds": 2.0, "warm_up": 0.5}
    return closed_loop(target, USERS, clock, **{**options, **changes}, stop=threading.Event())


def test_arrivals_are_poisson_seeded_and_in_order() -> None:
    due = poisson_arrivals(1000.0, 50.0, 1, seed=1)
    assert np.array_equal(due, poisson_arrivals(1000.0, 50.0, 1, seed=1))
    assert not np.array_equal(due[:10], poisson_arrivals(1000.0, 50.0, 1, seed=2)[:10])
    assert (np.diff(due) >= 0).all()
    assert 0 <= due[0] <= due[-1] < 50
    assert abs(len(due) - 50_000) < 5 * 50_000**0.5
    gaps = np.diff(due)  # exponential: the deviation is the mean
    assert np.std(gaps) == pytest.approx(np.mean(gaps), rel=0.03)
    whole = poisson_arrivals(1000.0, 10.0, 16, seed=1)
    assert len(whole) % 16 == 0
    assert (whole.reshape(-1, 16) == whole[::16, None]).all()


def test_one_stall_shows_in_latency_from_due_and_not_from_send() -> None:
    clock = VirtualClock()
    target = Slow(clock, lambda call, users: 1.0 if call == 1500 else 0.001)
    samples = opened(target, clock)
    assert len(samples.due) > 3000
    due, sent = open_latencies(samples, samples.ok, samples.unsent)
    assert due.p999 > 900
    assert due.p99 > 100
    assert sent.p999 == pytest.approx(1.0)
    assert sent.max == pytest.approx(1000.0)
    assert due.max >= sent.max
    assert not backlog_grew(samples, 1.0, 10.0, 1)


def test_a_stall_by_the_real_clock() -> None:
    class Stalls(Slow):
        def send(self, users):
            self.calls.append(users.tolist())
            if len(self.calls) == 100:
                clock.sleep_until(clock.now() + 0.2, threading.Event())

    clock = SystemClock()
    samples = opened(Stalls(clock), clock, rate=500.0, seconds=1.0)
    waited = samples.done - samples.due
    stalled = int(np.argmax(samples.done - samples.sent))
    began, ended = samples.sent[stalled], samples.done[stalled]
    behind = (samples.due > began) & (samples.due < ended)
    assert behind.sum() > 10
    assert (waited[behind] >= ended - samples.due[behind] - 1e-9).all()


def test_no_request_is_sent_before_it_is_due_or_twice() -> None:
    clock = SystemClock()
    asked = []

    class Counts(Slow):
        def send(self, users):
            asked.extend(users.tolist())

    samples = opened(Counts(clock), clock, rate=2000.0, workers=4, batch=8, seconds=0.3)
    assert (samples.sent >= samples.due - 1e-9).all()
    assert (samples.done >= samples.sent).all()
    n = len(samples.due)
    assert n == len(asked) == len(poisson_arrivals(2000.0, 0.3, 1, 3))
    assert sorted(asked) == sorted(USERS.of(0, n).tolist())


def test_micro_batches_hold_what_is_due_up_to_their_limit() -> None:
    clock = VirtualClock()
    target = Slow(clock, lambda call, users: 0.010)
    samples = opened(target, clock, rate=1000.0, batch=16)
    sizes = [len(users) for users in target.calls]
    assert max(sizes) <= 16
    assert 8 < np.mean(sizes) < 16
    starts = np.cumsum([0, *sizes[:-1]])
    for start, size in zip(starts[:200], sizes[:200], strict=True):
        sent = samples.sent[start]
        assert samples.due[start + size - 1] <= sent + 1e-9
        if size < 16:
            assert samples.due[start + size] > sent - 1e-9  # nothing that was due was left behind
    assert (samples.batch[starts] == sizes).all()


def test_batches_that_arrive_whole_are_sent_whole() -> None:
    clock = VirtualClock()
    target = Slow(clock, lambda call, users: 0.004)
    opened(target, clock, rate=800.0, batch=16, gather=False, seconds=3.0)
    assert {len(users) for users in target.calls} == {16}


def test_a_target_that_falls_behind_is_saturated_and_given_up() -> None:
    clock = VirtualClock()
    over = opened(Slow(clock, lambda call, users: 0.01), clock, rate=110.0, seconds=10.0)
    assert backlog_grew(over, 2.0, 10.0, 1)
    assert len(over.unsent) == 0  # a tenth too much is caught up with in time
    far = opened(Slow(clock, lambda call, users: 0.01), clock, rate=300.0, seconds=10.0)
    assert backlog_grew(far, 2.0, 10.0, 1)
    assert len(far.unsent) > 1000
    assert far.ended <= 15.1
    due, _ = open_latencies(far, far.ok, far.unsent)
    assert due.max >= 1e3 * (far.ended - far.unsent.min()) - 1e-6


@pytest.mark.parametrize("seed", range(20))
def test_a_target_that_keeps_up_is_not_saturated(seed: int) -> None:
    clock = VirtualClock()
    single = opened(Slow(clock, lambda call, users: 0.01), clock, rate=80.0, seconds=6.0, seed=seed)
    assert not backlog_grew(single, 1.2, 6.0, 1)
    batched = opened(
        Slow(clock, lambda call, users: 0.02 + 0.002 * len(users)), clock, rate=200.0, seconds=4.0, batch=16, seed=seed
    )
    assert not backlog_grew(batched, 1.0, 4.0, 16)


def test_a_closed_loop_is_as_fast_as_its_target() -> None:
    clock = VirtualClock()
    target = Slow(clock, lambda call, users: 0.005 if call < 100 else 0.010)
    samples = closed(target, clock, batch=4)
    measured = samples.sent >= 0.5
    assert closed_rate(samples, measured) == pytest.approx(400.0)
    assert latency_of(samples.done[measured] - samples.sent[measured]).p50 == pytest.approx(10.0)
    assert np.array_equal(samples.due, samples.sent)
    assert target.closed == 1


def test_a_call_longer_than_the_step_is_measured_whole() -> None:
    clock = VirtualClock()
    samples = closed(Slow(clock, lambda call, users: 7.0), clock, batch=64)
    measured = samples.sent >= 0.5
    assert measured.sum() == 64
    assert closed_rate(samples, measured) == pytest.approx(64 / 7)


def test_many_workers_add_up() -> None:
    clock = SystemClock()

    class Naps(Slow):
        def send(self, users):
            clock.sleep_until(clock.now() + 0.01, threading.Event())

    samples = closed(Naps(clock), clock, workers=4, batch=2, seconds=0.2, warm_up=0.05)
    assert set(samples.worker) == {0, 1, 2, 3}
    assert 0 < closed_rate(samples, samples.sent >= 0.05) <= 800.0


def test_errors_are_counted_and_never_quick_successes() -> None:
    clock = VirtualClock()
    # every other call fails at once
    target = Slow(clock, lambda call, users: 0.010 * (call % 2), lambda call: call % 2 == 0)
    samples = closed(target, clock)
    measured = samples.sent >= 0.5
    # So many messages that their numbers are passed over.
    assert samples.reasons == ["RuntimeError: call # broke"]
    assert samples.failures(measured) == {"RuntimeError: call # broke": int((measured & ~samples.ok).sum())}
    assert closed_rate(samples, measured) == pytest.approx(100.0, rel=0.02)
    good = measured & samples.ok
    assert latency_of(samples.done[good] - samples.sent[good]).p50 == pytest.approx(10.0)


def test_a_failure_of_the_generator_itself_is_raised() -> None:
    clock = VirtualClock()

    class Refuses(Slow):
        def connect(self):
            raise KeyError("a defect")

    with pytest.raises(KeyError, match="a defect"):
        closed(Refuses(clock), clock)


@pytest.mark.parametrize("n", [1, 2, 7, 99, 100, 101, 1000, 1001])
def test_percentiles_are_recorded_values(n: int) -> None:
    seconds = np.random.default_rng(n).permutation(np.arange(1, n + 1)) / 1e3
    found = latency_of(seconds)
    assert found.p50 == pytest.approx(-(-n * 50 // 100))
    assert found.p99 == pytest.approx(-(-n * 99 // 100))
    assert found.p999 == pytest.approx(-(-n * 999 // 1000))
    assert found.max == pytest.approx(n)
    assert latency_of(np.zeros(0)).p50 is None
