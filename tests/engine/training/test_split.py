"""The validation part of a log: whole last days, whatever the log's length; drawn rows where times say nothing."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.training.split import LEAST, Split, cut_of, split_of

DAY, HOUR, START = 86_400_000, 3_600_000, 1_700_000_000_000


def even(rows: int, span: int) -> np.ndarray:
    return START + np.linspace(0, span, rows).astype(np.int64)


def parts(split: Split | None) -> Split:
    assert split is not None
    return split


@pytest.mark.parametrize("days", [11, 14, 30, 400, 3000])
def test_the_fewest_whole_days_that_hold_the_share(days: int) -> None:
    time = even(6000, days * DAY)
    split = parts(split_of(time))
    assert split.cut is not None
    assert (int(time[-1]) + 1 - split.cut) % DAY == 0
    share = split.held.mean()
    assert 0.1 <= share <= 0.1 + 1.1 / days
    assert np.array_equal(split.held, time >= split.cut)


@pytest.mark.parametrize("span", [HOUR, 6 * HOUR, DAY, 2 * DAY])
def test_a_log_of_hours_is_cut_at_the_share(span: int) -> None:
    assert parts(split_of(even(6000, span))).held.mean() == pytest.approx(0.1, abs=0.001)


def test_a_last_day_of_most_rows_is_cut_within() -> None:
    time = np.sort(np.concatenate([even(1000, 20 * DAY), START + 20 * DAY - np.arange(9000)]))
    split = parts(split_of(time))
    assert split.cut is not None
    assert 0.05 <= split.held.mean() <= 0.25


def test_rows_of_one_moment_stay_together() -> None:
    time = np.repeat(even(10, 5 * HOUR), 100)
    split = parts(split_of(time))
    assert split.held.sum() == 100
    assert split.cut == time[900]
    assert cut_of(np.repeat(even(2, HOUR), 500)) == START + HOUR


@pytest.mark.parametrize("time", [np.full(1000, START), np.append(np.full(999, START), START + DAY)])
def test_times_that_are_alike_draw_the_rows(time: np.ndarray) -> None:
    split, again = parts(split_of(time, seed=3)), parts(split_of(time, seed=3))
    assert split.cut is None
    assert split.held.sum() == 100
    assert np.array_equal(split.held, again.held)
    assert not np.array_equal(split.held, parts(split_of(time, seed=4)).held)


def test_too_few_rows_are_not_split() -> None:
    assert split_of(even(LEAST * 10 - 1, 30 * DAY)) is None
    assert split_of(even(LEAST * 10, 30 * DAY)) is not None
    assert split_of(even(1000, 30 * DAY), 0.0) is None
    assert cut_of(np.empty(0, np.int64)) is None


@pytest.mark.parametrize("share", [-0.1, 0.6])
def test_a_share_out_of_range_is_named(share: float) -> None:
    with pytest.raises(ValueError, match=f"share: expected 0 to 0.5, got {share}"):
        split_of(even(1000, DAY), share)
