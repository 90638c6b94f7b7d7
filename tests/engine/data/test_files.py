"""Logs as people have them: each mistake names the file, the column and the row."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.data import clean, read, read_parquet

T = 10**12
LOG = {"user": [1, 2, 1], "item": [5, 6, 7], "time": [T, T + 1, T + 2]}
MOVIES, USERS, RATINGS = "3::A (2001)::Comedy\n", "2::F::1::10::48067\n", "2::3::5::978300760\n"
GBK = "中文".encode("gbk")


def not_utf8(*values):
    """A column of strings whose bytes are not checked, as Parquet files of other writers have them."""
    offsets = np.cumsum([0, *map(len, values)]).astype(np.int32)
    return pa.Array.from_buffers(
        pa.string(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(values))]
    )


def folder_of(tmp_path, **tables):
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    return tmp_path


def refused(folder, *words):
    with pytest.raises(ValueError, match=".*".join(re.escape(word) for word in words)) as caught:
        read(folder)
    assert "Traceback" not in str(caught.value)
    assert len(str(caught.value)) < 500
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("user", not_utf8(b"a", GBK, b"c"), ("user: expected text in UTF-8", "in row 1")),
        ("user", pa.array(["a", "b\0", "c"]), ("user: expected strings without NUL", "in row 1")),
        ("item", pa.array([1, 2, 2**63], pa.uint64()), ("item: expected values that fit int64", f"{2**63} in row 2")),
        ("context_page", not_utf8(b"a", b"b", GBK), ("context_page: expected text in UTF-8", "in row 2")),
        ("context_tab", pa.array([1, 2**64 - 1, 0], pa.uint64()), ("context_tab: expected values", "in row 1")),
        ("context_tab", pa.array([1, 0, -1], pa.int32()), ("context_tab: expected codes of at least 0", "-1 in row 2")),
        ("duration_ms", [1, 2**31, 0], ("duration_ms: expected values that fit int32", f"{2**31} in row 1")),
        ("play_time_ms", [1, 1, -(2**40)], ("play_time_ms: expected values that fit int32", "in row 2")),
        ("time", pa.array([T, T, 2**63], pa.uint64()), ("time: expected values that fit int64", "in row 2")),
        ("click", [0, 1, 3], ("click: expected 0, 1 or null, got 3 in row 2",)),
    ],
)
def test_a_wrong_value_in_the_log(tmp_path, name, values, words):
    refused(folder_of(tmp_path, log=LOG | {name: values}), str(tmp_path / "log.parquet"), *words)


@pytest.mark.parametrize(
    ("table", "columns", "words"),
    [
        ("catalogue", {"item": [5, None, 7]}, ("item: expected no nulls, got 1, the first in row 1",)),
        ("catalogue", {"item": [5, 5, 7]}, ("item: ids: expected no repeats, got 1 repeated ids, the first 5",)),
        ("catalogue", {"item": ["a", "b" * 300]}, ("item: expected at most 256 characters", "in row 1")),
        ("catalogue", {"item": [7, 5], "author": not_utf8(GBK, b"x")}, ("author: expected text in UTF-8", "in row 0")),
        (
            "catalogue",
            {"item": [5], "vector": pa.array([[]], pa.list_(pa.float32()))},
            ("vector: expected at least 1",),
        ),
        ("users", {"user": [1, 1]}, ("user: ids: expected no repeats", "the first 1")),
        ("users", {"user": [2, 1], "city": not_utf8(b"x", GBK)}, ("city: expected text in UTF-8", "in row 1")),
        ("users", {"user": [2, 1], "city": [0.5, 1]}, ("city: expected strings or integers, got double",)),
        ("history", LOG | {"click": [1, 2, 3]}, ("click: expected 0, 1 or null, got 2 in row 1",)),
    ],
)
def test_a_wrong_value_in_another_table(tmp_path, table, columns, words):
    refused(folder_of(tmp_path, log=LOG, **{table: columns}), str(tmp_path / f"{table}.parquet"), *words)


@pytest.mark.parametrize("kind", [pa.string_view(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_text_of_any_kind(tmp_path, kind):
    text = {name: pa.array(["b", "a", "b"]).cast(kind) for name in ("user", "item", "context_page")}
    data = read_parquet(folder_of(tmp_path, log=LOG | text))
    assert data.users.ids.ids.tolist() == ["a", "b"]
    assert (data.log.item.tolist(), data.log.context["page"].tolist()) == ([1, 0, 1], [1, 0, 1])


@pytest.mark.parametrize("kind", [pa.uint64(), pa.int32(), pa.uint8(), pa.int64()])
def test_integers_of_any_kind(tmp_path, kind):
    columns = {name: pa.array([2, 1, 2], kind) for name in ("user", "item", "context_tab", "play_time_ms")}
    data = read_parquet(folder_of(tmp_path, log=LOG | columns))
    assert (data.log.user.tolist(), data.log.context["tab"].tolist()) == ([1, 0, 1], [2, 1, 2])


def test_one_id_of_many_characters_harms_only_its_row(tmp_path):
    rows = 3000
    users = np.array([f"u{i}" for i in range(rows)], object)
    users[7] = "x" * 100_000
    data = read_parquet(folder_of(tmp_path, log={"user": users, "item": np.arange(rows), "time": T + np.arange(rows)}))
    assert data.rows.dropped == {"long_id": 1}
    assert data.users.ids.ids.dtype.itemsize < 64


def test_a_small_file_of_too_many_rows(tmp_path):
    folder_of(tmp_path, log={name: np.full(10_000, T) for name in ("user", "item", "time")})
    with pytest.raises(ValueError, match=r"log\.parquet: expected at most 9999 rows \(log_rows\), got 10000"):
        read_parquet(tmp_path, most_rows=9999)
    assert read(tmp_path, most_rows=10_000).rows.kept == 1


@pytest.mark.parametrize("broken", [b"", b"PAR1", b"not parquet at all"])
def test_a_file_that_is_no_parquet(tmp_path, broken):
    (tmp_path / "log.parquet").write_bytes(broken)
    refused(tmp_path, str(tmp_path / "log.parquet"))


def movielens(tmp_path, **files):
    for name, text in {"movies": MOVIES, "users": USERS, "ratings": RATINGS, **files}.items():
        (tmp_path / f"{name}.dat").write_bytes(text if isinstance(text, bytes) else text.encode())
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "ratings",
            "UserID::MovieID::Rating::Timestamp\n" + RATINGS,
            ("user_id", "line 1", "expected int64", "UserID"),
        ),
        ("ratings", RATINGS + "2::3::5\n", ("line 2", "Expected 4 columns, got 3")),
        ("ratings", RATINGS + "2::3::five::978300760\n", ("rating", "line 2", "'five'")),
        ("ratings", RATINGS + "2::3::6::978300760\n", ("rating: expected whole numbers from 1 to 5, got 6 in row 1",)),
        ("ratings", "", ("Empty",)),
        ("movies", "MovieID::Title::Genres\n" + MOVIES, ("movie_id", "line 1", "MovieID")),
        ("movies", MOVIES * 2, ("movie_id: ids: expected no repeats", "the first 3")),
        ("users", "UserID::Gender::Age::Occupation::Zip-code\n" + USERS, ("user_id", "line 1", "UserID")),
        ("users", USERS + "::M::1::1::1\n", ("user_id: expected no nulls", "in row 1")),
    ],
)
def test_a_wrong_line_of_movielens(tmp_path, name, text, words):
    refused(movielens(tmp_path, **{name: text}), str(tmp_path / f"{name}.dat"), *words)


def test_no_genres_is_no_genre(tmp_path):
    movies = "3::A (2001)::(no genres listed)\n4::B (2002)::Comedy|Drama\n5::C (2003)::\n"
    items = read(movielens(tmp_path, movies=movies)).catalogue
    assert items.names["category"] == ["Comedy", "Drama"]
    assert items.category.offsets.tolist() == [0, 0, 2, 2]


def test_titles_in_another_coding_are_read(tmp_path):
    assert len(read(movielens(tmp_path, movies=b"3::" + GBK + b" (2001)::Comedy\n")).log) == 1


#: A word that would take 200 GB, were each of its rows to hold it.
LONG, ROWS = "x" * 1_000_000, 200_000


def shared(*words, rows=ROWS):
    """A column of `rows`, each with one of the words in turn, which the file holds once each."""
    return pa.DictionaryArray.from_arrays(pa.array(np.arange(rows, dtype=np.int32) % len(words)), pa.array(words))


def small_file(folder, name, columns):
    # without Arrow's own note of the types, as other writers leave it
    pq.write_table(
        pa.table(columns), folder / f"{name}.parquet", dictionary_pagesize_limit=1 << 30, store_schema=False,
        row_group_size=ROWS // 2,
    )  # fmt: skip
    assert (folder / f"{name}.parquet").stat().st_size < 16_000_000
    return folder


def test_a_long_id_that_many_rows_share_is_held_once(tmp_path):
    columns = {"user": shared(LONG, "a"), "item": np.arange(ROWS) % 7, "time": T + np.arange(ROWS)}
    data = read_parquet(small_file(tmp_path, "log", columns))
    assert data.rows.dropped == {"long_id": ROWS // 2}
    assert data.users.ids.ids.tolist() == ["a"]


def test_a_long_word_that_many_rows_share_is_held_once(tmp_path):
    columns = {"user": np.arange(ROWS), "item": np.arange(ROWS), "time": T + np.arange(ROWS)}
    small_file(tmp_path, "log", columns | {"context_page": shared(LONG, "a")})
    words = {"author": shared("b", LONG), "category": pa.ListArray.from_arrays(np.arange(ROWS + 1), shared(LONG, "c"))}
    small_file(tmp_path, "catalogue", {"item": np.arange(ROWS)} | words)
    data = read_parquet(tmp_path)
    assert data.context_names == {"page": ["a", LONG]}
    assert data.log.context["page"][:4].tolist() == [1, 0, 1, 0]
    assert data.catalogue.names == {"author": ["b", LONG], "category": ["c", LONG]}
    assert data.catalogue.category.values[-2:].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("item", ("item: expected at most 256 characters, got more in row 0",)),
        ("vector", ("vector: expected lists of float32, got string",)),
        ("publish_time", ("publish_time: expected integer milliseconds, got string",)),
    ],
)
def test_long_text_in_place_of_something_else(tmp_path, name, words):
    columns = {"item": np.arange(ROWS)} | {name: shared(LONG)}
    refused(small_file(folder_of(tmp_path, log=LOG), "catalogue", columns), *words)


@pytest.mark.parametrize("name", ["click", "duration_ms", "time"])
def test_long_text_in_place_of_a_number(tmp_path, name):
    columns = {"user": np.arange(ROWS), "item": np.arange(ROWS), "time": T + np.arange(ROWS)} | {name: shared(LONG)}
    refused(small_file(tmp_path, "log", columns), f"{name}: expected ", "integer", "got string")


def test_a_dictionary_that_says_more_than_its_rows(tmp_path):
    words = pa.array(["b", "unused", "b", None, "a"])
    text = pa.DictionaryArray.from_arrays(pa.array([2, 4, 0, 3], pa.int32()), words)
    log = {"user": text, "item": text, "time": [T, T + 1, T + 2, T + 3], "context_page": text}
    data = clean(pa.table(log))
    assert (data.users.ids.tolist(), data.context_names) == (["a", "b"], {"page": ["a", "b"]})
    assert (data.log.user.tolist(), data.rows.dropped) == ([1, 0, 1], {"null_id": 1})
