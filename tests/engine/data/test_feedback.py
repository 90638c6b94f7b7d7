"""Ratings and rows without any feedback become signals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.data import read
from headrace.data.feedback import with_feedback


def table(**columns: object) -> pa.Table:
    return pa.table({"user": [1, 2, 3], "item": [1, 1, 2], "time": [10**12 + row for row in range(3)], **columns})


@pytest.mark.parametrize(("positive", "clicks"), [(4.0, [0, 1, None]), (4.6, [0, 0, None]), (1.0, [1, 1, None])])
def test_a_rating_from_the_threshold_on_is_a_click(positive: float, clicks: list[int | None]) -> None:
    told, words = with_feedback(table(rating=[3.5, 4.5, None]), positive)
    assert told["click"].to_pylist() == clicks
    assert told["impression"].to_pylist() == [1, 1, 1]
    assert "rating" not in told.column_names
    assert words == f"a rating of {positive:g} or more is taken as a click"


def test_rows_without_feedback_are_clicks() -> None:
    told, words = with_feedback(table(context_tab=[1, 2, 3]))
    assert told["click"].to_pylist() == [1, 1, 1]
    assert words == "no column of feedback: every row is taken as a click"


@pytest.mark.parametrize("name", ["impression", "like", "play_time_ms"])
def test_what_says_something_is_left_alone(name: str) -> None:
    given = table(**{name: [1, 0, 1]})
    assert with_feedback(given) == (given, None)


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"rating": ["5", "4", "1"]}, "rating: expected numbers, got string"),
        ({"rating": [5.0, float("nan"), 1.0]}, "rating: expected finite numbers, got nan in row 1"),
        ({"rating": [5, 4, 1], "click": [1, 1, 0]}, "rating: expected no column click beside it"),
    ],
)
def test_ratings_that_cannot_be_are_named(columns: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        with_feedback(table(**columns))


def test_the_reader_takes_the_threshold_and_says_what_it_did(tmp_path: Path) -> None:
    pq.write_table(table(rating=[3, 4, 5]), tmp_path / "log.parquet")
    data = read(tmp_path, positive=5)
    assert data.log.signals["click"].tolist() == [0, 0, 1]
    assert data.notes == ("log: a rating of 5 or more is taken as a click",)
    pq.write_table(table(), tmp_path / "log.parquet")
    assert np.array_equal(read(tmp_path).log.signals["click"], [1, 1, 1])
