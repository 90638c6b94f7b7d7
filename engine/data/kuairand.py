"""KuaiRand-Pure: short-video exposures with every feedback signal (Gao et al., CIKM 2022)."""

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
from headrace.data.clock import HOUR_MS, clock
from headrace.data.codes import compact, encode, encode_lists
from headrace.data.columns import by_id, whole
from headrace.data.dataset import UNKNOWN, Catalogue, Dataset, InteractionLog, RowReport, Users
from headrace.data.files import MOST_ROWS, in_file, read_csv, read_table
from headrace.data.ids import IdMap

#: The log's wall clock: China time.
UTC_OFFSET_HOURS = 8
#: A play of at least this part of the item is a completion.
COMPLETION = 0.8
ITEMS, USERS, SEQUENCES = "video_features_basic_pure.csv", "user_features_pure.csv", "user_sequences.parquet"
_SIGNALS = {
    "click": "is_click", "like": "is_like", "share": "is_forward", "follow": "is_follow", "comment": "is_comment"
}  # fmt: skip
_PLAIN_USER = ("user_active_degree", "is_lowactive_period", "is_live_streamer", "is_video_author")


def log_files(folder: Path) -> list[Path]:
    """The standard logs in `folder`: one file for each name, Parquet before CSV. Random-exposure logs are left out."""
    found = {path.stem: path for end in ("csv", "parquet") for path in folder.glob(f"log_standard_*pure.{end}")}
    return [found[stem] for stem in sorted(found)]


def read_kuairand(
    folder: str | Path, on_bad: Literal["drop", "refuse"] = "drop", most_rows: int = MOST_ROWS
) -> Dataset:
    """KuaiRand-Pure from its download: every `log_standard_*pure.csv` (or .parquet) with the two feature files.

    Only the standard logs are read: `log_random_*` holds uniformly random exposures, which are no sample of any policy.
    Each row is an impression; click, like, follow, comment and share are is_click, is_like, is_follow, is_comment and
    is_forward.
    completion: play_time_ms >= 0.8 duration_ms, not recorded where the duration is 0. There is no collect and no city.
    context: tab, hour and weekday (China time). Rows equal in all the file's columns are `duplicate`; the same event
    logged under two hours is a `repeated_event`.
    Text is as it stands, NA and null too; only an empty cell is unknown. Tags are separated by commas, blanks around
    them do not count, and an empty one is none.
    Items: author, tags as category, upload day (its start in China time) as publish_time, duration_ms.
    Users: activity, flags, the *_range columns and onehot_feat*.
    history: with `user_sequences.parquet` (user_id, last_time_ms and the lists watch_seq, like_seq, long_watch_seq),
    each user's last exposures before the log. Only their order is known: times are made up to keep it, one second
    apart, the last at last_time_ms or just before the log. impression 1; like 1 for items of the user's likes, else 0;
    click 1 for items of the likes or the long watches, else not recorded.

    Raises FileNotFoundError when a file is missing, ValueError when a column is missing or has the wrong type.
    """
    path = Path(folder)
    logs = log_files(path)
    if not logs:
        raise FileNotFoundError(f"{path / 'log_standard_*pure.csv'}: no such file")
    for name in (ITEMS, USERS):
        if not (path / name).exists():
            raise FileNotFoundError(f"{path / name}: no such file")
    with in_file(path / ITEMS):
        catalogue = _catalogue(_read(path / ITEMS, most_rows))
    with in_file(path / USERS):
        users = _users(_read(path / USERS, most_rows))
    tables, raws = [], []
    for file in logs:
        with in_file(file):
            raws.append(_read(file, most_rows))
            tables.append(_log_table(raws[-1]))
    with in_file(path / " + ".join(file.name for file in logs)):
        raw = pa.concat_tables(raws, promote_options="permissive")
        cleaned = clean(
            pa.concat_tables(tables, promote_options="permissive"),
            items=catalogue.ids,
            users=users.ids,
            on_bad=on_bad,
            compare=raw,
        )
    log = replace(cleaned.log, context=cleaned.log.context | clock(cleaned.log.time, UTC_OFFSET_HOURS))
    history, history_rows = None, None
    if (path / SEQUENCES).exists():
        before = int(log.time[0]) if len(log) else np.iinfo(np.int64).max
        with in_file(path / SEQUENCES):
            history, history_rows = _history(read_table(path / SEQUENCES, most_rows), before, users.ids, catalogue.ids)
    return Dataset("kuairand-pure", users, catalogue, log, history, cleaned.rows, history_rows=history_rows)


def _read(path: Path, most_rows: int) -> pa.Table:
    if path.suffix == ".parquet":
        return read_table(path, most_rows)
    # a set whose items have one tag each would read as numbers; "NA" and "null" are words
    options = pcsv.ConvertOptions(column_types={"tag": pa.string()}, null_values=[""], strings_can_be_null=True)
    table = read_csv(path, path, convert=options)
    # as `read_table` has text, so that logs of both kinds are one
    return pa.table({name: compact(table[name]) for name in table.column_names})


def _column(table: pa.Table, name: str) -> pa.Array:
    if name not in table.column_names:
        raise ValueError(f"{name}: required column is missing, got {', '.join(table.column_names)}")
    return compact(table[name])


def _number(table: pa.Table, name: str) -> pa.Array:
    """A column of whole numbers; those with gaps may have been read as floating point."""
    column = _whole(_column(table, name))
    if not (pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
        raise ValueError(f"{name}: expected whole numbers, got {column.type}")
    return column


def _log_table(raw: pa.Table) -> pa.Table:
    play, span = (whole(_number(raw, name), pa.int64(), name) for name in ("play_time_ms", "duration_ms"))
    span = pc.if_else(pc.equal(span, 0), None, span)
    columns = {"user": _column(raw, "user_id"), "item": _column(raw, "video_id"), "time": _column(raw, "time_ms")}
    columns["impression"] = pa.array(np.ones(raw.num_rows, np.int8))
    columns |= {signal: _column(raw, source) for signal, source in _SIGNALS.items()}
    columns["completion"] = pc.greater_equal(play.cast(pa.float64()), pc.multiply(span.cast(pa.float64()), COMPLETION))
    return pa.table(columns | {"play_time_ms": play, "duration_ms": span, "context_tab": _column(raw, "tab")})


def _catalogue(table: pa.Table) -> Catalogue:
    ids, table = by_id(table, "video_id")
    author, authors = encode(_column(table, "author_id"), "author_id")
    category, categories = encode_lists(_tags(_column(table, "tag")), "tag")
    day = _column(table, "upload_dt")
    if not pa.types.is_date(day.type):
        raise ValueError(f"upload_dt: expected dates, got {day.type}")
    start = day.cast(pa.timestamp("ms")).cast(pa.int64())
    start = pc.subtract(start, UTC_OFFSET_HOURS * HOUR_MS)
    duration = _column(table, "video_duration")
    if not (
        pa.types.is_floating(duration.type) or pa.types.is_integer(duration.type) or pa.types.is_null(duration.type)
    ):
        raise ValueError(f"video_duration: expected numbers, got {duration.type}")
    duration = whole(pc.round(duration.cast(pa.float64())).cast(pa.int64()), pa.int32(), "video_duration")
    return Catalogue(
        ids,
        author=author,
        category=category,
        publish_time=start.fill_null(UNKNOWN).to_numpy(zero_copy_only=False),
        duration_ms=duration.fill_null(UNKNOWN).to_numpy(zero_copy_only=False),
        names={"author": authors, "category": categories},
    )


def _tags(column: pa.Array) -> pa.Array:
    """The tags of each item, as a list."""
    text = pc.fill_null(column.cast(pa.string()), "")
    # blanks and empty tags go before the cut: lists have no function that would drop them after it
    text = pc.utf8_trim(pc.replace_substring_regex(text, r"\s*,[\s,]*", ","), ", \t")
    return pc.if_else(pc.equal(text, ""), None, pc.split_pattern(text, ","))


def _users(table: pa.Table) -> Users:
    ids, table = by_id(table, "user_id")
    wanted = [
        name
        for name in table.column_names
        if name in _PLAIN_USER or name.endswith("_range") or name.startswith("onehot_feat")
    ]
    columns = {name: encode(_whole(compact(table[name])), name) for name in wanted}
    features = {name: codes for name, (codes, _) in columns.items()}
    return Users(ids, features, {name: texts for name, (_, texts) in columns.items()})


def _whole(column: pa.Array) -> pa.Array:
    # a code column with gaps reads as floating point
    return column.cast(pa.int64()) if pa.types.is_floating(column.type) else column


def _history(table: pa.Table, before: int, users: IdMap, items: IdMap) -> tuple[InteractionLog, RowReport]:
    """The exposures of the user sequences, all before the time `before`; see `read_kuairand`."""
    counts = pc.list_value_length(_column(table, "watch_seq")).fill_null(0).to_numpy(zero_copy_only=False)
    starts = np.cumsum(counts) - counts
    owner = np.repeat(np.arange(len(counts)), counts)
    left = counts[owner] - 1 - (np.arange(len(owner)) - starts[owner])
    last = np.minimum(_column(table, "last_time_ms").to_numpy(zero_copy_only=False), before - 1)
    user_id, item_id = _column(table, "user_id").take(pa.array(owner)), pc.list_flatten(_column(table, "watch_seq"))
    seen = _pairs(users, items, user_id, item_id)
    held = {name: np.isin(seen, _listed(table, name, users, items)) for name in ("like_seq", "long_watch_seq")}
    click = held["like_seq"] | held["long_watch_seq"]
    cleaned = clean(
        pa.table(
            {
                "user": user_id,
                "item": item_id,
                "time": pa.array(last[owner] - 1000 * left),
                "impression": pa.array(np.ones(len(owner), np.int8)),
                "click": pa.array(click.astype(np.int8), mask=~click),
                "like": pa.array(held["like_seq"]),
            }
        ),
        items=items,
        users=users,
    )
    return cleaned.log, cleaned.rows


def _listed(table: pa.Table, name: str, users: IdMap, items: IdMap) -> NDArray[np.int64]:
    lists = _column(table, name)
    owner = pc.list_parent_indices(lists)
    pairs = _pairs(users, items, _column(table, "user_id").take(owner), pc.list_flatten(lists))
    return pairs[pairs >= 0]


def _pairs(users: IdMap, items: IdMap, user: pa.Array, item: pa.Array) -> NDArray[np.int64]:
    """One number for each (user, item), -1 where either is unknown."""
    row, column = (ids.rows(part.to_numpy(zero_copy_only=False)) for ids, part in ((users, user), (items, item)))
    return np.where((row >= 0) & (column >= 0), row * len(items) + column, UNKNOWN)
