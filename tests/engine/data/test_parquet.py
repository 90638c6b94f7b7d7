from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.data import IdMap, InteractionLog, Jagged, read_parquet, write_parquet


def assert_same(a, b):
    """Equal down to the dtype, whatever they are made of."""
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert a.dtype.kind == b.dtype.kind
        np.testing.assert_array_equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, IdMap):
        assert_same(a.ids, b.ids)
    elif hasattr(a, "__dataclass_fields__"):
        for part in fields(a):
            if part.name not in ("name", "rows", "history_rows", "notes"):
                assert_same(getattr(a, part.name), getattr(b, part.name))
    else:
        assert a == b


def write(folder, **tables):
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return folder


T = 10**12
LOG = {"user": [2, 1, 2], "item": ["b", "a", "b"], "time": [T + 30, T + 20, T + 10]}
CATALOGUE = {
    "item": ["c", "b", "a"],
    "author": ["x", None, "y"],
    "category": pa.array([["u", "v"], None, ["v"]]),
    "keyword": [7, None, 10],
    "city": [None, 20, 3],
    "publish_time": pa.array([1, None, -5], pa.int64()),
    "duration_ms": [None, 5, 6],
    "vector": pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], pa.list_(pa.float32(), 2)),
    "marked": [None, True, False],
    "latitude": [-33.25, None, 90.0],
    "longitude": pa.array([-180, None, 7], pa.int32()),
}
USERS = {"user": [2, 1], "gender": ["f", None], "age": [18, 25]}


def test_log_alone(tmp_path):
    data = read_parquet(write(tmp_path, log=LOG))
    assert data.catalogue.ids.ids.tolist() == ["a", "b"]
    assert data.users.ids.ids.tolist() == [1, 2]
    assert data.log.user.tolist() == [1, 0, 1]
    assert {name: column.tolist() for name, column in data.log.signals.items()} == {"click": [1, 1, 1]}
    assert data.log.play_time_ms is None
    assert data.history is None


def test_whole_folder(tmp_path):
    history = {"user": [1], "item": ["c"], "time": [T], "click": [1], "context_tab": [3]}
    data = read_parquet(write(tmp_path, log=LOG, catalogue=CATALOGUE, users=USERS, history=history))
    items = data.catalogue
    assert items.ids.ids.tolist() == ["a", "b", "c"]
    assert (items.author.tolist(), items.names["author"]) == ([1, -1, 0], ["x", "y"])
    assert (items.category.offsets.tolist(), items.category.values.tolist()) == ([0, 1, 1, 3], [1, 0, 1])
    assert items.first_category().tolist() == [1, -1, 0]
    assert (items.keyword.values.tolist(), items.names["keyword"]) == ([1, 0], ["7", "10"])
    assert (items.city.tolist(), items.names["city"]) == ([0, 1, -1], ["3", "20"])
    assert items.publish_time.tolist() == [-5, -1, 1]
    assert items.duration_ms.tolist() == [6, 5, -1]
    assert items.vector.tolist() == [[5, 6], [3, 4], [1, 2]]
    assert items.vector.dtype == np.float32
    assert items.marked.tolist() == [False, True, False]
    assert data.users.features["gender"].tolist() == [-1, 0]
    assert data.users.names == {"gender": ["f"], "age": ["18", "25"]}
    assert data.history.item.tolist() == [2]
    assert data.history.context == {}
    write_parquet(data, tmp_path / "again")
    assert_same(data, read_parquet(tmp_path / "again"))


def test_tables_say_who_exists(tmp_path):
    log = {"user": [1, 3, 1], "item": ["a", "a", "z"], "time": [T, T, T]}
    data = read_parquet(write(tmp_path, log=log, catalogue=CATALOGUE, users=USERS))
    assert data.rows.dropped == {"unknown_item": 1, "unknown_user": 1}
    with pytest.raises(ValueError, match="unknown_item 1, unknown_user 1"):
        read_parquet(tmp_path, on_bad="refuse")


@st.composite
def folders(draw):
    text, size = draw(st.booleans()), draw(st.integers(0, 12))
    ids = st.text("ab0", max_size=3) if text else st.integers(-3, 3)
    flag = st.lists(st.sampled_from([None, 0, 1]), min_size=size, max_size=size)
    log = {name: draw(st.lists(ids, min_size=size, max_size=size)) for name in ("user", "item")}
    kind = pa.string() if text else pa.int64()
    columns = {name: pa.array(values, kind) for name, values in log.items()}
    columns["time"] = pa.array(draw(st.lists(st.integers(T, T + 5), min_size=size, max_size=size)), pa.int64())
    for name in draw(st.sets(st.sampled_from(["impression", "click", "completion"]))):
        columns[name] = pa.array(draw(flag), pa.int8())
    for name in draw(st.sets(st.sampled_from(["play_time_ms", "context_tab"]))):
        columns[name] = pa.array(draw(flag), pa.int64())
    if draw(st.booleans()):
        pages = st.lists(st.sampled_from([None, "1", "10", "2", "home"]), min_size=size, max_size=size)
        columns["context_page"] = pa.array(draw(pages), pa.string())
    tables = {"log": columns}
    if draw(st.booleans()):
        items = draw(st.lists(ids, unique=True, max_size=6))
        words = st.none() | st.lists(st.sampled_from(["1", "2", "10", "x"]), max_size=2)
        tables["catalogue"] = {
            "item": pa.array(items, kind),
            "category": pa.array([draw(words) for _ in items], pa.list_(pa.string())),
            "city": pa.array([draw(st.none() | st.integers(0, 20)) for _ in items], pa.int64()),
        }
    return tables


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(folders())
def test_round_trip(tmp_path, tables):
    (tmp_path / "catalogue.parquet").unlink(missing_ok=True)
    (tmp_path / "users.parquet").unlink(missing_ok=True)
    data = read_parquet(write(tmp_path, **tables))
    write_parquet(data, tmp_path / "again")
    again = read_parquet(tmp_path / "again")
    assert_same(data, again)
    assert again.rows.dropped == {}


def test_history_that_is_gone_is_removed(tmp_path):
    data = read_parquet(write(tmp_path, log=LOG, history=LOG))
    write_parquet(data, tmp_path / "again")
    assert (tmp_path / "again" / "history.parquet").exists()
    write_parquet(read_parquet(write(tmp_path / "again", log=LOG)).with_log(data.log), tmp_path / "other")
    (tmp_path / "history.parquet").unlink()
    write_parquet(read_parquet(tmp_path), tmp_path / "again")
    assert not (tmp_path / "again" / "history.parquet").exists()


@pytest.mark.parametrize(
    ("column", "values", "match"),
    [
        ("item", ["a", "a", "b"], "repeated"),
        ("item", ["a", None, "b"], "item: expected no nulls, got 1"),
        ("title", ["a", "b", "c"], "unknown column title"),
        ("latitude", [1.0, 2.0, 90.5], "latitude: expected -90 to 90, got 90.5"),
        ("longitude", ["1", "2", "3"], "longitude: expected degrees, got string"),
        ("vector", [[1.0], [1.0, 2.0], [3.0]], "vector: expected one length"),
        ("vector", [[1.0], [float("nan")], [3.0]], "vector: expected finite values"),
        ("vector", [[1.0], None, [3.0]], "vector: expected one length and no nulls"),
        ("vector", [1.0, 2.0, 3.0], "vector: expected lists of float32, got double"),
        ("marked", [1, 0, 1], "marked: expected booleans, got int64"),
        ("publish_time", [0.5, 1, 2], "publish_time: expected integer milliseconds, got double"),
        ("duration_ms", [-3, 1, 2], "duration_ms: expected 0.."),
        ("author", [0.5, 1, 2], "author: expected strings or integers, got double"),
    ],
)
def test_wrong_catalogue(tmp_path, column, values, match):
    write(tmp_path, log=LOG, catalogue={"item": ["a", "b", "c"], column: values})
    with pytest.raises(ValueError, match=match):
        read_parquet(tmp_path)


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"log\.parquet"):
        read_parquet(tmp_path)
    with pytest.raises(ValueError, match=r"users\.parquet: required column user is missing, got name"):
        read_parquet(write(tmp_path, log=LOG, users={"name": ["a"]}))


def test_take_keeps_the_columns():
    log = InteractionLog(
        np.arange(4, dtype=np.int32),
        np.zeros(4, np.int32),
        np.arange(4),
        {"click": np.array([1, 0, -1, 1], np.int8), "like": np.array([1, 0, 0, 0], np.int8)},
        play_time_ms=np.arange(4, dtype=np.int32),
        context={"tab": np.arange(4, dtype=np.int32)},
    )
    assert log.interest().tolist() == [2, 0, 0, 1]
    part = log.take(log.signals["click"] == 1)
    assert (part.user.tolist(), part.play_time_ms.tolist(), part.context["tab"].tolist()) == ([0, 3],) * 3
    assert part.duration_ms is None


def test_no_category_at_all(tmp_path):
    data = read_parquet(write(tmp_path, log=LOG, catalogue={"item": ["a", "b"], "category": [None, None]}))
    assert isinstance(data.catalogue.category, Jagged)
    assert data.catalogue.first_category().tolist() == [-1, -1]


def gapped(rows, last):
    """Rows a minute apart, and one that lies a year behind them."""
    return {"user": [0] * rows, "item": list(range(rows)), "time": [T + 60_000 * n for n in range(rows - 1)] + [last]}


def test_times_that_were_believed_are_believed_in_every_part(tmp_path):
    far = T + 365 * 86_400_000
    plain = write(tmp_path, log=gapped(40, far), history=gapped(40, far))
    whole = read_parquet(plain)
    assert (whole.rows.dropped, whole.history_rows.dropped) == ({"time_apart": 1}, {"time_apart": 1})
    # The same rows, as part of a log in which there was no gap.
    times = np.array(gapped(40, far)["time"])
    log = InteractionLog(np.zeros(40, np.int32), np.arange(40, dtype=np.int32), times, {"click": np.ones(40, np.int8)})
    catalogue = replace(whole.catalogue, ids=IdMap(list(range(40))))
    write_parquet(replace(whole, catalogue=catalogue, log=log, history=log), tmp_path / "part")
    again = read_parquet(tmp_path / "part")
    assert (again.rows.dropped, again.history_rows.dropped) == ({}, {})
    assert_same(again.log, log)
    # Whoever changes the times is doubted again.
    table = pq.read_table(tmp_path / "part" / "log.parquet")
    moved = table.set_column(2, "time", pa.array([*gapped(40, far)["time"][:-1], far + 1]))
    pq.write_table(moved.replace_schema_metadata(table.schema.metadata), tmp_path / "part" / "log.parquet")
    assert read_parquet(tmp_path / "part").rows.dropped == {"time_apart": 1}
