"""Intervals by the bootstrap against a loop over resamples, and against the normal theory."""

import math

import numpy as np
import pytest

from headrace.evaluation.bootstrap import interval, intervals


def by_hand(values, draws, seed):
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(values), (draws, len(values)))
    means = [np.nanmean([values[i] for i in row]) for row in drawn.tolist()]
    return np.nanmean(values), *np.nanquantile(means, [0.025, 0.975])


@pytest.mark.parametrize("users", [2, 7, 33])
def test_equals_a_loop_over_resamples(users):
    values = np.random.default_rng(users).random(users)
    assert interval(values, 50, seed=3) == pytest.approx(by_hand(values.tolist(), 50, 3), abs=1e-12)


def test_users_of_whom_nothing_is_known_count_for_nothing():
    values = np.array([0.1, math.nan, 0.7, 0.3, 0.4, 0.2, math.nan])
    assert interval(values, 40) == pytest.approx(by_hand(values.tolist(), 40, 0), abs=1e-12)


def test_rows_are_drawn_together_and_in_any_number():
    values = np.random.default_rng(0).random((3, 40))
    together = intervals(values, 60, seed=1)
    assert together == [pytest.approx(interval(row, 60, seed=1), abs=1e-12) for row in values]
    # What two lists share cancels in the difference.
    difference = interval(values[0] - (values[0] - 0.25), 60)
    assert difference == pytest.approx((0.25, 0.25, 0.25))


def test_as_wide_as_theory_says():
    values = np.random.default_rng(1).normal(size=2000)
    mean, low, high = interval(values, 2000)
    error = values.std() / math.sqrt(len(values))
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), abs=0.2 * error)


def test_many_users_go_in_blocks(monkeypatch):
    values = np.random.default_rng(2).random((2, 30))
    whole = intervals(values, 40)
    monkeypatch.setattr("headrace.evaluation.bootstrap._BLOCK", 100)
    assert intervals(values, 40) == [pytest.approx(row, abs=1e-12) for row in whole]


def test_nothing_is_known():
    assert all(math.isnan(x) for x in interval(np.zeros(0)))
    assert all(math.isnan(x) for x in interval([math.nan, math.nan]))
    assert interval([0.5]) == (0.5, 0.5, 0.5)
    assert intervals(np.zeros((0, 4))) == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: interval([[1.0]]), "values: expected 1 dimension"),
        (lambda: intervals([1.0]), "values: expected 2 dimensions"),
        (lambda: interval([1.0], draws=0), "draws: expected at least 1, got 0"),
        (lambda: interval([1.0], level=1.0), "level: expected more than 0 and less than 1, got 1"),
    ],
)
def test_errors_name_the_argument(call, words):
    with pytest.raises(ValueError, match=words):
        call()
