import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.data import InteractionLog, clock, days, split_at, split_by_time

DAY = 86_400_000


def log_of(times):
    zeros = np.zeros(len(times), np.int32)
    return InteractionLog(zeros, zeros, np.array(sorted(times), np.int64), {})


@settings(deadline=None)
@given(st.lists(st.integers(0, 9 * DAY), min_size=2), st.floats(0.01, 9))
@example([0, 9 * DAY], 8.999999999999998)
def test_nothing_from_the_future(times, test_days):
    log = log_of(times)
    if max(times) - min(times) <= round(test_days * DAY):
        with pytest.raises(ValueError, match="test_days"):
            split_by_time(log, test_days)
        return
    train, test = split_by_time(log, test_days)
    assert len(train) + len(test) == len(log)
    assert train.time.max() < test.time.min()
    assert train.time.max() < max(times) - round(test_days * DAY) <= test.time.min()


def test_cut_itself_is_in_the_test():
    train, test = split_by_time(log_of([0, DAY, DAY, 2 * DAY]))
    assert (len(train), len(test)) == (1, 3)
    assert days(log_of([0, 36 * 3_600_000])) == 1.5


@pytest.mark.parametrize("cut", [0, 10, 11])
def test_an_empty_side_is_refused(cut):
    with pytest.raises(ValueError, match="side is empty"):
        split_at(log_of([10, 10]), cut)


@pytest.mark.parametrize("test_days", [0, -1, float("nan"), float("inf")])
def test_days_are_positive(test_days):
    with pytest.raises(ValueError, match="test_days: expected a positive"):
        split_by_time(log_of([0, DAY]), test_days)


def test_empty_log():
    assert days(log_of([])) == 0
    with pytest.raises(ValueError, match="got 0"):
        split_by_time(log_of([]))
    with pytest.raises(ValueError, match="got 0"):
        split_at(log_of([]), 5)


def test_clock():
    # 1 January 1970 was a Thursday; 20:00 UTC is 4:00 the next day in China
    assert {k: v.tolist() for k, v in clock(np.array([0, 20 * 3_600_000])).items()} == {
        "hour": [0, 20],
        "weekday": [3, 3],
    }
    assert {k: v.tolist() for k, v in clock(np.array([20 * 3_600_000]), 8).items()} == {"hour": [4], "weekday": [4]}
