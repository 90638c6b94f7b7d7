"""Headrace's own columnar format: a folder of Parquet files in external ids."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headrace.data.clean import CONTEXT, Cleaned, clean
from headrace.data.clock import published
from headrace.data.codes import decode, decode_lists, encode, encode_lists, plain
from headrace.data.columns import by_id
from headrace.data.dataset import KIND, UNKNOWN, Catalogue, Dataset, InteractionLog, Users
from headrace.data.feedback import POSITIVE, with_feedback
from headrace.data.files import MOST_ROWS, in_file, read_table
from headrace.data.folder import of_one_replacement, replace_files
from headrace.data.ids import IdMap

LOG, HISTORY, CATALOGUE, USERS = "log.parquet", "history.parquet", "catalogue.parquet", "users.parquet"
_FILES = (LOG, HISTORY, CATALOGUE, USERS)
_NAME, _TIMES = b"headrace.dataset", b"headrace.times"
_ITEM_COLUMNS = (
    "item", "author", "category", "keyword", "city", "publish_time", "duration_ms", "vector", "marked", "latitude",
    "longitude",
)  # fmt: skip
_LONGEST = 2**31 - 1


@of_one_replacement(_FILES)
def read_parquet(
    folder: str | Path,
    on_bad: Literal["drop", "refuse"] = "drop",
    most_rows: int = MOST_ROWS,
    positive: float = POSITIVE,
) -> Dataset:
    """The dataset in `folder`.

    log.parquet: the columns that `clean` takes, or ratings, or no feedback at all (see `with_feedback`, which is told
        `positive`); rows are dropped for its reasons. Signals not there stay absent.
    history.parquet (optional): older interactions, the same columns but no context, cleaned the same way.
    catalogue.parquet (optional): item; any of author, city (integer or string), category, keyword (one value or a
        list, most specific first), publish_time (int64 ms or timestamp), duration_ms (integer), vector (list of
        float32, one length), marked (boolean), latitude, longitude (degrees), kind_<name> (integer, boolean or string).
        It lists every item there is: rows of the log with others are dropped. Without it, the catalogue is the items of
        the log.
    users.parquet (optional): user and any categorical columns (integer, boolean or string). It lists every user there
        is, as the catalogue does the items. Without it, the users are those of the log.

    most_rows: of each file.
    Raises FileNotFoundError when log.parquet is missing, ValueError naming the file, and the column and row that are
    wrong.
    """
    path = Path(folder)
    if not (path / LOG).exists():
        raise FileNotFoundError(f"{path / LOG}: no such file")
    notes: list[str] = []
    catalogue, users = None, None
    if (path / CATALOGUE).exists():
        with in_file(path / CATALOGUE):
            catalogue = _catalogue(read_table(path / CATALOGUE, most_rows), notes)
    if (path / USERS).exists():
        with in_file(path / USERS):
            users = _users(read_table(path / USERS, most_rows))
    ids = {"items": catalogue.ids if catalogue else None, "users": users.ids if users else None}
    cleaned, words = read_log(path / LOG, on_bad, most_rows, positive, **ids)
    notes += [f"log: {words}"] if words else []
    older: Cleaned | None = None
    if (path / HISTORY).exists():
        with in_file(path / HISTORY):
            table = read_table(path / HISTORY, most_rows)
            written = _as_written(table)
            if words:
                table, _ = with_feedback(table, positive)
            table = table.select([name for name in table.column_names if not name.startswith(CONTEXT)])
            older = clean(table, items=cleaned.items, users=cleaned.users, on_bad=on_bad, apart=not written)
    return Dataset(
        path.name,
        users or Users(cleaned.users),
        catalogue or Catalogue(cleaned.items),
        cleaned.log,
        older.log if older else None,
        cleaned.rows,
        cleaned.context_names,
        older.rows if older else None,
        tuple(notes),
    )


def read_log(
    path: Path,
    on_bad: Literal["drop", "refuse"] = "drop",
    most_rows: int = MOST_ROWS,
    positive: float = POSITIVE,
    items: IdMap | None = None,
    users: IdMap | None = None,
) -> tuple[Cleaned, str | None]:
    """One file of log rows, and what `with_feedback` made of it. items, users: as `clean` takes them.

    Raises ValueError naming the file, and the column and row that are wrong.
    """
    with in_file(path):
        table = read_table(path, most_rows)
        told, words = with_feedback(table, positive)
        return clean(told, on_bad=on_bad, apart=not _as_written(table), items=items, users=users), words


def write_parquet(dataset: Dataset, folder: str | Path) -> None:
    """Write `dataset` to `folder` (made if need be), in external ids, so that `read_parquet` gives it back.

    Files of the format that are already there are replaced, all at once. Raises OSError when the disk is full or not
    writable; all of the old files are there then.
    """
    tables = {
        LOG: _log_table(dataset, dataset.log),
        CATALOGUE: _catalogue_table(dataset.catalogue),
        USERS: _users_table(dataset.users),
    }
    if dataset.history is not None:
        tables[HISTORY] = _log_table(dataset, replace(dataset.history, context={}))

    def write(part: Path) -> None:
        for name, table in tables.items():
            known = {**(table.schema.metadata or {}), _NAME: dataset.name.encode()}
            if name in (LOG, HISTORY):
                known[_TIMES] = _mark(table["time"])
            pq.write_table(table.replace_schema_metadata(known), part / name)

    replace_files(Path(folder), _FILES, write)


def check_replaceable(folder: str | Path, dataset: str) -> None:
    """Raises FileExistsError where `folder` has files of the format that are not a dataset of that name, as written by
    `write_parquet`."""
    for name in _FILES:
        path = Path(folder) / name
        if path.exists():
            try:
                known = pq.read_schema(path).metadata or {}
            except pa.ArrowInvalid:
                known = {}
            if known.get(_NAME) != dataset.encode():
                raise FileExistsError(f"{path}: expected none, or one of a {dataset} log, got another's")


def _mark(time: pa.ChunkedArray) -> bytes:
    """What tells these times from others. Those of a log that was read once were believed then: of a part of it, which
    may have gaps that the whole had not, none is doubted anew."""
    return f"{len(time)} {zlib.crc32(plain(time).to_numpy(zero_copy_only=False).tobytes())}".encode()


def _as_written(table: pa.Table) -> bool:
    """Whether the times are those that `write_parquet` wrote."""
    mark = (table.schema.metadata or {}).get(_TIMES)
    return mark is not None and "time" in table.column_names and mark == _mark(table["time"])


def _users(table: pa.Table) -> Users:
    ids, table = by_id(table, "user")
    columns = {name: encode(table[name], name) for name in table.column_names if name != "user"}
    return Users(
        ids, {name: c for name, (c, _) in columns.items()}, {name: texts for name, (_, texts) in columns.items()}
    )


def _catalogue(table: pa.Table, notes: list[str]) -> Catalogue:
    for name in table.column_names:
        if name not in _ITEM_COLUMNS and not name.startswith(KIND):
            raise ValueError(f"unknown column {name}, expected {', '.join(_ITEM_COLUMNS)} or {KIND}<name>")
    ids, table = by_id(table, "item")
    have = set(table.column_names)
    codes = {name: encode(table[name], name) for name in ("author", "city") if name in have}
    lists = {name: encode_lists(table[name], name) for name in ("category", "keyword") if name in have}
    kinds = {name: encode(table[name], name) for name in table.column_names if name.startswith(KIND)}
    return Catalogue(
        ids,
        author=codes["author"][0] if "author" in have else None,
        category=lists["category"][0] if "category" in have else None,
        keyword=lists["keyword"][0] if "keyword" in have else None,
        city=codes["city"][0] if "city" in have else None,
        publish_time=_published(table["publish_time"], notes) if "publish_time" in have else None,
        duration_ms=_durations(table["duration_ms"]) if "duration_ms" in have else None,
        vector=_vectors(table["vector"]) if "vector" in have else None,
        marked=_marked(table["marked"]) if "marked" in have else None,
        latitude=_degrees(table["latitude"], "latitude", 90) if "latitude" in have else None,
        longitude=_degrees(table["longitude"], "longitude", 180) if "longitude" in have else None,
        kinds={name.removeprefix(KIND): found for name, (found, _) in kinds.items()},
        names={name: texts for name, (_, texts) in (codes | lists | kinds).items()},
    )


def _published(column: pa.ChunkedArray, notes: list[str]) -> NDArray[np.int64]:
    array = plain(column)
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.timestamp("ms", array.type.tz), safe=False).cast(pa.int64())
    array = _integers(array, "publish_time")
    known = array.is_valid().to_numpy(zero_copy_only=False)
    try:
        time, words = published(array.fill_null(UNKNOWN).to_numpy(zero_copy_only=False), known)
    except ValueError as error:
        raise ValueError(f"publish_time: {error}") from None
    if words:
        notes.append(f"{CATALOGUE}: publish_time: {words}")
    return time


def _durations(column: pa.ChunkedArray) -> NDArray[np.int32]:
    array = _integers(plain(column), "duration_ms")
    if pc.any(pc.or_(pc.less(array, 0), pc.greater(array, _LONGEST))).as_py():
        raise ValueError(f"duration_ms: expected 0..{_LONGEST} or null, got {pc.min_max(array).as_py()}")
    return np.asarray(array.fill_null(UNKNOWN).to_numpy(zero_copy_only=False)).astype(np.int32)


def _integers(array: pa.Array, name: str) -> pa.Array:
    if not (pa.types.is_integer(array.type) or pa.types.is_null(array.type)):
        raise ValueError(f"{name}: expected integer milliseconds, got {array.type}")
    return array.cast(pa.int64())


def _vectors(column: pa.ChunkedArray) -> NDArray[np.float32]:
    array = plain(column)
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(is_kind(array.type) for is_kind in kinds) or not pa.types.is_floating(array.type.value_type):
        raise ValueError(f"vector: expected lists of float32, got {array.type}")
    lengths = pc.unique(pc.list_value_length(array))
    if lengths.null_count or len(lengths) > 1:
        raise ValueError(f"vector: expected one length and no nulls, got {lengths.to_pylist()}")
    fixed = pa.types.is_fixed_size_list(array.type)
    width = array.type.list_size if fixed else lengths[0].as_py() if len(lengths) else 0
    values = pc.list_flatten(array).cast(pa.float32()).to_numpy(zero_copy_only=False).reshape(len(array), width)
    if len(values) and not width:
        raise ValueError("vector: expected at least 1 number each, got lists of 0")
    if not np.isfinite(values).all():
        raise ValueError("vector: expected finite values, got NaN or infinity")
    return np.array(values)


def _marked(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    array = plain(column)
    if not (pa.types.is_boolean(array.type) or pa.types.is_null(array.type)):
        raise ValueError(f"marked: expected booleans, got {array.type}")
    return np.asarray(array.cast(pa.bool_()).fill_null(False).to_numpy(zero_copy_only=False))


def _degrees(column: pa.ChunkedArray, name: str, most: int) -> NDArray[np.float64]:
    array = plain(column)
    if not (pa.types.is_floating(array.type) or pa.types.is_integer(array.type) or pa.types.is_null(array.type)):
        raise ValueError(f"{name}: expected degrees, got {array.type}")
    degrees = np.array(array.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    if (np.abs(degrees) > most).any():
        raise ValueError(f"{name}: expected -{most} to {most}, got {degrees[np.abs(degrees) > most][0]}")
    return degrees


def _nullable(values: NDArray[np.integer]) -> pa.Array:
    return pa.array(values, mask=values == UNKNOWN)


def _log_table(dataset: Dataset, log: InteractionLog) -> pa.Table:
    columns: dict[str, pa.Array] = {
        "user": pa.array(dataset.users.ids.external(log.user)),
        "item": pa.array(dataset.catalogue.ids.external(log.item)),
        "time": pa.array(log.time),
    }
    columns |= {name: _nullable(signal) for name, signal in log.signals.items()}
    spans = {"play_time_ms": log.play_time_ms, "duration_ms": log.duration_ms}
    columns |= {name: _nullable(span) for name, span in spans.items() if span is not None}
    for name, codes in log.context.items():
        texts = dataset.context_names.get(name)
        columns[CONTEXT + name] = _nullable(codes) if texts is None else _texts(codes, texts)
    return pa.table(columns)


def _texts(codes: NDArray[np.int32], texts: list[str]) -> pa.Array:
    # a string column even where the texts look like numbers: integers would come back as plain codes
    return pa.array(texts, pa.string()).take(pa.array(codes, pa.int32(), mask=codes < 0))


def _users_table(users: Users) -> pa.Table:
    columns = {name: decode(codes, users.names.get(name)) for name, codes in users.features.items()}
    return pa.table({"user": pa.array(users.ids.ids), **columns})


def _catalogue_table(catalogue: Catalogue) -> pa.Table:
    columns = {"item": pa.array(catalogue.ids.ids)}
    for name, codes in (("author", catalogue.author), ("city", catalogue.city)):
        if codes is not None:
            columns[name] = decode(codes, catalogue.names.get(name))
    for name, lists in (("category", catalogue.category), ("keyword", catalogue.keyword)):
        if lists is not None:
            columns[name] = decode_lists(lists, catalogue.names.get(name))
    for name, codes in catalogue.kinds.items():
        columns[KIND + name] = decode(codes, catalogue.names.get(KIND + name))
    for name, times in (("publish_time", catalogue.publish_time), ("duration_ms", catalogue.duration_ms)):
        if times is not None:
            columns[name] = _nullable(times)
    if catalogue.vector is not None:
        flat = pa.array(catalogue.vector.reshape(-1), pa.float32())
        columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, catalogue.vector.shape[1])
    if catalogue.marked is not None:
        columns["marked"] = pa.array(catalogue.marked)
    for name, degrees in (("latitude", catalogue.latitude), ("longitude", catalogue.longitude)):
        if degrees is not None:
            columns[name] = pa.array(degrees, mask=np.isnan(degrees))
    return pa.table(columns)
