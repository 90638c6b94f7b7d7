"""Which times are believed: the unit of a log, rows that cannot be, and what one row may do to the rest."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.data import check_plausible, clean, plausible, read_movielens, read_parquet
from headrace.data.clock import DAY_MS, UNITS, in_milliseconds, unit_of

T = 1_650_000_000_000
N = 2_000


def log(time):
    row = np.arange(len(time))
    return pa.table({"user": row % 40, "item": (7 * row + row // 40) % 90, "time": time})


@pytest.fixture
def plain():
    """Two weeks, a row every ten minutes."""
    return T + 600_000 * np.arange(N)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (4_070_908_800_000, "time_in_future"),  # 1 January 2099
        (T + 2 * 366 * DAY_MS * 10, "time_in_future"),
        (2**63 - 1, "time_in_future"),
        (0, "time_before_1990"),
        (-1, "negative_time"),
        (-(2**63), "negative_time"),
        (T // 1000, "time_in_seconds"),
        (T * 1000, "time_in_microseconds"),
        (T * 1_000_000, "time_in_nanoseconds"),
        (T - 400 * DAY_MS, "time_apart"),
        (T + 400 * DAY_MS, "time_apart"),
        (631_152_000_000, "time_apart"),
    ],
)
def test_one_row_moves_no_window(plain, bad, reason):
    time = plain.copy()
    time[N // 2] = bad
    cleaned = clean(log(time))
    assert cleaned.rows.dropped == {reason: 1}
    assert (cleaned.rows.kept, cleaned.rows.unit) == (N - 1, "milliseconds")
    assert (cleaned.log.time[0], cleaned.log.time[-1]) == (plain[0], plain[-1])


@pytest.mark.parametrize("unit", UNITS)
def test_a_log_in_one_unit_is_in_milliseconds(plain, unit):
    given = plain // 1000 if unit == "seconds" else plain * (UNITS[unit] // 1000)
    cleaned = clean(log(given))
    assert cleaned.log.time.tolist() == (plain // 1000 * 1000 if unit == "seconds" else plain).tolist()
    assert (cleaned.rows.unit, cleaned.rows.dropped) == (unit, {})


@given(st.integers(0, 2**40), st.sampled_from(sorted(UNITS)))
def test_a_moment_is_plausible_in_every_unit_or_in_none(offset, unit):
    """And in one unit only."""
    first, last = plausible()
    moment = first - 2**30 + offset * (last - first + 2**31) // 2**40
    given = np.array([moment * UNITS[unit] // 1000])
    assert unit_of(given) == (unit if moment >= first and given[0] <= last * UNITS[unit] // 1000 else None)
    assert abs(int(in_milliseconds(given, unit)[0]) - moment) < 1000


def test_units_mixed_and_units_unknown_are_refused(plain):
    mixed = np.where(np.arange(N) % 3 == 0, plain // 1000, plain)
    with pytest.raises(ValueError, match=r"time: expected milliseconds .*: 667 like seconds, 1333 like milliseconds"):
        clean(log(mixed))
    with pytest.raises(ValueError, match=r"got 0 to 1999, which is like no unit from seconds to nanoseconds"):
        clean(log(np.arange(N)))
    with pytest.raises(ValueError, match="like no unit"):
        clean(log(plain + 200 * 365 * DAY_MS))


def test_a_timestamp_column_that_was_read_in_the_wrong_unit_is_refused(plain):
    wrong = pa.array(plain).cast(pa.timestamp("us"))
    with pytest.raises(ValueError, match=r"time: expected plausible moments, got timestamp\[us\] that are seconds"):
        clean(log(wrong))
    assert clean(log(pa.array(plain).cast(pa.timestamp("ms")))).rows.kept == N


def test_rows_out_of_order_are_counted(plain):
    order = np.random.default_rng(0).permutation(N)
    cleaned = clean(log(plain[order]))
    late = int((plain[order] < np.maximum.accumulate(plain[order])).sum())
    assert (cleaned.rows.late, late > N // 2) == (late, True)
    assert cleaned.log.time.tolist() == plain.tolist()
    assert clean(log(plain)).rows.late == 0


@pytest.mark.parametrize(
    "gaps",
    [
        np.full(N - 1, 20 * DAY_MS // N * 1000),  # a row every ten days
        np.where(np.arange(N - 1) % 5 == 4, 3 * DAY_MS, 3_600_000),  # weekends off
        np.where(np.arange(N - 1) == N // 2, 300 * DAY_MS, 60_000),  # two seasons
        np.where(np.arange(N - 1) == N - 100, 30 * DAY_MS, 60_000),  # a new start that is more than a hundredth
    ],
)
def test_gaps_that_a_log_has_drop_nothing(gaps):
    time = plausible()[1] - DAY_MS - np.append(0, np.cumsum(gaps))[::-1]
    time = time[time > plausible()[0]]
    assert clean(log(np.sort(time))).rows.dropped == {}


def test_the_smallest_logs_keep_every_plausible_row():
    assert clean(log(T + 300 * DAY_MS * np.arange(3))).rows.kept == 3
    cleaned = clean(log(np.append(T + 60_000 * np.arange(30), T + 500 * DAY_MS)))
    assert cleaned.rows.dropped == {"time_apart": 1}


def test_movielens_in_milliseconds_is_not_multiplied_again(tmp_path):
    (tmp_path / "movies.dat").write_text("3::A (2001)::Comedy\n")
    (tmp_path / "users.dat").write_text("2::F::1::10::48067\n")
    for stamp, unit in ((978_300_760, "seconds"), (978_300_760_000, "milliseconds")):
        (tmp_path / "ratings.dat").write_text(f"2::3::5::{stamp}\n")
        data = read_movielens(tmp_path)
        assert (data.log.time.tolist(), data.rows.unit) == ([978_300_760_000], unit)


def test_a_file_in_seconds_serves_its_own_window(tmp_path, plain):
    pa.parquet.write_table(log(plain // 1000), tmp_path / "log.parquet")
    data = read_parquet(tmp_path)
    assert data.log.time[-1] - data.log.time[0] == plain[-1] - plain[0]


@pytest.mark.parametrize(
    ("time", "words"), [(T // 1000, "like seconds"), (T * 1000, "like micro"), (0, "like no unit")]
)
def test_a_moment_by_itself(time, words):
    check_plausible("at", T)
    with pytest.raises(ValueError, match=f"at: expected milliseconds since the epoch, .* got {time}.*{words}"):
        check_plausible("at", time)
