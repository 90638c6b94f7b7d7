"""MovieLens-1M: ratings read as feedback on impressions (Harper and Konstan, TiiS 2015)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
from numpy.typing import NDArray

from headrace.data.clean import clean
from headrace.data.clock import clock
from headrace.data.codes import encode, encode_lists, plain
from headrace.data.columns import by_id
from headrace.data.dataset import UNKNOWN, Catalogue, Dataset, Users
from headrace.data.feedback import POSITIVE
from headrace.data.files import MOST_ROWS, in_file, read_csv, read_table

LIKE = 5
RATINGS = ("ratings.parquet", "ratings.dat")
MOVIES, USERS = "movies.dat", "users.dat"
_NO_GENRES = "(no genres listed)"
_ID, _TEXT = pa.int64(), pa.string()
_RATING_COLUMNS = {"user_id": _ID, "movie_id": _ID, "rating": _ID, "timestamp": _ID}
_USER_COLUMNS = {"user_id": _ID, "gender": _TEXT, "age": _ID, "occupation": _ID, "zip": _TEXT}


def read_movielens(
    folder: str | Path,
    on_bad: Literal["drop", "refuse"] = "drop",
    most_rows: int = MOST_ROWS,
    positive: float = POSITIVE,
) -> Dataset:
    """MovieLens-1M from its download: movies.dat, users.dat, and ratings.dat (or ratings.parquet in its place).

    Every rating is an impression; click = rating >= `positive`, like = rating >= 5. No play time, no author.
    Order: by timestamp, then by time_rank (the true order within a user) where ratings.parquet has it.
    Items: all genres as category (none for "(no genres listed)"), 1 January of the title's year (UTC) as publish_time.
    Users: gender, age, occupation.
    context: hour and weekday (UTC).

    Raises FileNotFoundError when a file is missing, ValueError for a rating outside 1..5 or an unreadable line.
    """
    path = Path(folder)
    source = next((path / name for name in RATINGS if (path / name).exists()), path / RATINGS[-1])
    for file in (source, path / MOVIES, path / USERS):
        if not file.exists():
            raise FileNotFoundError(f"{file}: no such file")
    with in_file(path / MOVIES):
        catalogue = _catalogue(_dat(path / MOVIES, {"movie_id": _ID, "title": _TEXT, "genres": _TEXT}))
    with in_file(path / USERS):
        users = _users(_dat(path / USERS, _USER_COLUMNS))
    with in_file(source):
        raw = read_table(source, most_rows) if source.suffix == ".parquet" else _dat(source, _RATING_COLUMNS)
        cleaned = clean(_log_table(raw, positive), items=catalogue.ids, users=users.ids, on_bad=on_bad)
    log = replace(cleaned.log, context=clock(cleaned.log.time))
    return Dataset("ml-1m", users, catalogue, log, rows=cleaned.rows)


def _dat(path: Path, columns: dict[str, pa.DataType]) -> pa.Table:
    # Arrow splits on one byte only; the unit separator is in no title
    text = path.read_text("latin-1").replace("::", "\x1f")
    return read_csv(
        pa.py_buffer(text.encode()),
        path,
        list(columns),
        pcsv.ParseOptions(delimiter="\x1f", quote_char=False),
        pcsv.ConvertOptions(column_types=columns),
    )


def _log_table(raw: pa.Table, positive: float) -> pa.Table:
    for name in ("user_id", "movie_id", "rating", "timestamp"):
        if name not in raw.column_names:
            raise ValueError(f"{name}: required column is missing, got {', '.join(raw.column_names)}")
    if "time_rank" in raw.column_names:
        raw = raw.sort_by([("timestamp", "ascending"), ("time_rank", "ascending")])
    rating = plain(raw["rating"])
    good = pc.is_in(rating, value_set=pa.array([1, 2, 3, 4, 5], rating.type)).to_numpy(zero_copy_only=False)
    if not good.all():
        row = int(good.argmin())
        raise ValueError(f"rating: expected whole numbers from 1 to 5, got {rating[row].as_py()} in row {row}")
    return pa.table(
        {
            "user": raw["user_id"],
            "item": raw["movie_id"],
            "time": raw["timestamp"],
            "impression": pa.array(np.ones(raw.num_rows, np.int8)),
            "click": pc.greater_equal(rating, positive),
            "like": pc.greater_equal(rating, LIKE),
        }
    )


def _catalogue(table: pa.Table) -> Catalogue:
    ids, table = by_id(table, "movie_id")
    listed = plain(table["genres"])
    listed = pc.if_else(pc.is_in(listed, value_set=pa.array([_NO_GENRES, ""])), None, listed)
    category, genres = encode_lists(pc.split_pattern(listed, "|"), "genres")
    return Catalogue(
        ids,
        category=category,
        publish_time=_publish_time(plain(table["title"])),
        names={"category": genres},
    )


def _publish_time(title: pa.Array) -> NDArray[np.int64]:
    """The year in brackets at the end of each title, as ms since the epoch; negative before 1970."""
    year = pc.struct_field(pc.extract_regex(title, r"\((?P<year>\d{4})\)\s*$"), "year").cast(pa.int64())
    start = (year.fill_null(1970).to_numpy(zero_copy_only=False) - 1970).astype("datetime64[Y]")
    known = year.is_valid().to_numpy(zero_copy_only=False)
    return np.where(known, start.astype("datetime64[ms]").astype(np.int64), UNKNOWN)


def _users(table: pa.Table) -> Users:
    ids, table = by_id(table, "user_id")
    columns = {name: encode(table[name], name) for name in ("gender", "age", "occupation")}
    features = {name: codes for name, (codes, _) in columns.items()}
    return Users(ids, features, {name: texts for name, (_, texts) in columns.items()})
