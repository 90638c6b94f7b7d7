import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.data import SIGNALS, IdMap, clean

INT64 = pa.int64()
T = 10**12


def table(rows, ids=INT64):
    """A log from (user, item, time, click, play_time_ms) rows."""
    columns = list(zip(*rows, strict=True)) or [[]] * 5
    kinds = (ids, ids, pa.int64(), pa.int8(), pa.int64())
    names = ("user", "item", "time", "click", "play_time_ms")
    return pa.table({n: pa.array(list(c), k) for n, c, k in zip(names, columns, kinds, strict=True)})


def by_hand(rows, items=None, users=None):
    """Row by row, in plain Python: the kept rows in order, and the counts."""
    kept, seen, dropped = [], set(), {}
    for row in rows:
        user, item, time, _, play = row
        reasons = [
            ("null_id", user is None or item is None),
            ("null_time", time is None),
            ("negative_time", time is not None and time < 0),
            ("unknown_item", items is not None and item not in items),
            ("unknown_user", users is not None and user not in users),
            ("negative_play_time", play is not None and play < 0),
            ("duplicate", row in seen),
        ]
        reason = next((name for name, bad in reasons if bad), None)
        if reason:
            dropped[reason] = dropped.get(reason, 0) + 1
        else:
            kept.append(row)
            seen.add(row)
    return sorted(kept, key=lambda row: row[2]), dropped


ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(0, 4),
        st.none() | st.integers(0, 4),
        st.none() | st.just(-1) | st.integers(T, T + 3),
        st.sampled_from([None, 0, 1]),
        st.none() | st.integers(-1, 1),
    )
)


@settings(deadline=None)
@given(ROWS, st.booleans(), st.booleans(), st.booleans())
def test_every_row_is_accounted_for(rows, know_items, know_users, text):
    known = [0, 1, 2]
    given_rows = [(*(f"id{x}" if text and x is not None else x for x in row[:2]), *row[2:]) for row in rows]
    ids = IdMap([f"id{x}" for x in known] if text else known)
    if {-1} == {row[2] for row in rows} - {None}:
        with pytest.raises(
            ValueError, match=r"time: expected milliseconds since the epoch, .*, got -1, which is like no"
        ):
            clean(table(given_rows, pa.string() if text else pa.int64()))
        return
    cleaned = clean(
        table(given_rows, pa.string() if text else pa.int64()),
        items=ids if know_items else None,
        users=ids if know_users else None,
    )
    names = set(ids.ids.tolist())
    kept, dropped = by_hand(given_rows, names if know_items else None, names if know_users else None)
    log, report = cleaned.log, cleaned.rows
    assert report.read == len(rows) == report.kept + sum(report.dropped.values())
    assert report.kept == len(log) == len(kept)
    assert report.dropped == dropped
    columns = (
        cleaned.users.external(log.user).tolist(),
        cleaned.items.external(log.item).tolist(),
        log.time.tolist(),
        [None if x < 0 else x for x in log.signals["click"].tolist()],
        [None if x < 0 else x for x in log.play_time_ms.tolist()],
    )
    assert list(zip(*columns, strict=True)) == kept
    if not know_items:
        assert cleaned.items.ids.tolist() == sorted({row[1] for row in kept})


def test_types_of_the_log():
    log = clean(table([(5, 6, T, 1, None)])).log
    assert (log.user.dtype, log.item.dtype, log.time.dtype) == (np.int32, np.int32, np.int64)
    assert (log.signals["click"].dtype, log.play_time_ms.dtype) == (np.int8, np.int32)
    assert log.duration_ms is None
    assert set(log.signals) == {"click"}


@pytest.mark.parametrize("rows", [[], [(None, 1, T, 1, 1)], [(1, 1, None, 1, 1)]])
def test_nothing_left(rows):
    cleaned = clean(table(rows))
    assert len(cleaned.log) == len(cleaned.users) == len(cleaned.items) == 0


def test_untyped_empty_table():
    assert len(clean(pa.table({"user": [], "item": [], "time": []})).log) == 0


def test_columns_of_nulls_are_not_recorded():
    base = {"user": [1, 1], "item": [2, 2], "time": [T, T], "click": [None, None], "context_tab": [None, None]}
    cleaned = clean(pa.table({**base, "play_time_ms": [None, None]}))
    assert cleaned.rows.dropped == {"duplicate": 1}
    assert cleaned.log.signals["click"].tolist() == [-1]
    assert cleaned.log.context["tab"].tolist() == [-1]


def test_order_is_stable_over_chunks():
    half = table([(1, 1, T + 5, 1, None), (2, 2, T + 3, 0, None), (3, 3, T + 5, None, None)])
    other = table([(4, 4, T + 3, 1, None), (5, 5, T + 5, 1, None)])
    cleaned = clean(pa.concat_tables([half, other]))
    assert (cleaned.log.user + 1).tolist() == [2, 4, 1, 3, 5]
    assert cleaned.rows.late == 2


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "+08:00"])
def test_timestamps_are_milliseconds(unit, zone):
    time = pa.array([1_600_000_000], pa.timestamp("s")).cast(pa.timestamp(unit)).cast(pa.timestamp(unit, zone))
    assert clean(pa.table({"user": [1], "item": [1], "time": time})).log.time.tolist() == [1_600_000_000_000]


def test_context():
    base = {"user": [1, 1, 1], "item": [2, 2, 2], "time": [T + 3, T + 2, T + 1]}
    tabs, pages = pa.array([9, None, 4], pa.int16()), ["home", "buy", None]
    cleaned = clean(pa.table({**base, "context_tab": tabs, "context_page": pages}))
    assert cleaned.log.context["tab"].tolist() == [4, -1, 9]
    assert cleaned.log.context["page"].tolist() == [-1, 0, 1]
    assert cleaned.context_names == {"page": ["buy", "home"]}


def test_rows_of_the_source_decide_what_a_duplicate_is():
    source = pa.table({"hour": [1, 1, 2, 1], "note": [0.5, 0.5, 0.5, None]})
    cleaned = clean(table([(1, 1, T, 1, 1)] * 4), compare=source)
    assert cleaned.rows.dropped == {"duplicate": 1, "repeated_event": 2}
    with pytest.raises(ValueError, match="compare: expected 1 rows, got 4"):
        clean(table([(1, 1, 1, 1, 1)]), compare=source)


def test_refuse_lists_the_counts():
    rows = [(1, 1, T, 1, 1), (1, 1, T, 1, 1), (None, 1, T, 1, 1), (1, 1, -5, 1, 1)]
    with pytest.raises(ValueError, match=r"3 of 4 rows are bad: null_id 1, negative_time 1, duplicate 1"):
        clean(table(rows), on_bad="refuse")
    assert len(clean(table(rows[:1]), on_bad="refuse").log) == 1
    with pytest.raises(ValueError, match="on_bad: expected 'drop' or 'refuse', got 'keep'"):
        clean(table(rows), on_bad="keep")


@pytest.mark.parametrize("value", [2, -1, 100])
@pytest.mark.parametrize("signal", SIGNALS)
def test_a_signal_is_yes_or_no(signal, value):
    wrong = pa.table({"user": [1, 1, 1], "item": [1, 1, 1], "time": [T, T, T], signal: [None, value, 7]})
    with pytest.raises(ValueError, match=f"{signal}: expected 0, 1 or null, got {value} in row 1"):
        clean(wrong)


@pytest.mark.parametrize(
    ("name", "values", "match"),
    [
        ("user", [1.5], "user: expected int64 or string ids, got double"),
        ("item", [True], "item: expected int64 or string ids, got bool"),
        ("item", ["a\0"], "item: expected strings without NUL"),
        ("user", pa.array([2**63], pa.uint64()), "user: expected values that fit int64"),
        ("time", ["now"], "time: expected integers since the epoch or a timestamp, got string"),
        ("time", [1.0], "time: expected integers since the epoch or a timestamp, got double"),
        ("click", [1.0], "click: expected 0, 1 or null as integers or booleans, got double"),
        ("play_time_ms", ["1"], "play_time_ms: expected integer milliseconds, got string"),
        ("duration_ms", [2**31], "duration_ms: expected values that fit int32"),
        ("context_tab", [-2], "context_tab: expected codes of at least 0 or null, got -2 in row 0"),
        ("context_tab", [0.5], "context_tab: expected strings or integers, got double"),
        ("context_tab", [[1]], "context_tab: expected single values"),
        ("clik", [1], "clik: unknown column"),
    ],
)
def test_wrong_columns(name, values, match):
    with pytest.raises(ValueError, match=match):
        clean(pa.table({"user": [1], "item": [1], "time": [T], name: values}))


@pytest.mark.parametrize("name", ["user", "item", "time"])
def test_missing_columns(name):
    with pytest.raises(ValueError, match=f"{name}: required column is missing"):
        clean(table([(1, 1, 1, 1, 1)]).drop_columns(name))


def test_repeated_column():
    wrong = pa.Table.from_arrays([pa.array([1])] * 4, names=["user", "item", "time", "time"])
    with pytest.raises(ValueError, match="each column once"):
        clean(wrong)


def test_ids_of_another_kind():
    with pytest.raises(ValueError, match="item: expected string ids as in its table, got int64"):
        clean(table([(1, 1, T, 1, 1)]), items=IdMap(["1"]))
