"""Files as tables: what cannot be read is an error that names the file, and the column and row where there are any."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

#: Rows of a file that are read unless the settings say otherwise; a small file can hold any number of equal ones.
MOST_ROWS = 30_000_000
_BATCH_ROWS = 1 << 20


@contextmanager
def in_file(path: Path) -> Iterator[None]:
    """Errors raised inside are ValueErrors that begin with the file."""
    try:
        yield
    except (ValueError, TypeError, pa.ArrowException) as error:
        if str(error).startswith(f"{path}: "):
            raise
        raise ValueError(f"{path}: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        # Arrow's, of a file that is cut short or altered
        raise ValueError(f"{path}: not readable: {error}") from error


def read_table(path: Path, most_rows: int = MOST_ROWS) -> pa.Table:
    """A Parquet file, its text as dictionaries. Raises ValueError for one that is not readable or has too many rows."""
    with in_file(path), pq.ParquetFile(path) as file:
        if file.metadata.num_rows > most_rows:
            raise ValueError(f"expected at most {most_rows} rows (log_rows), got {file.metadata.num_rows}")
        columns = [file.schema.column(place) for place in range(len(file.schema))]
        text = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    # A long text that a million rows share is in the file once, and so it stays; row group by row group, the file's own
    # bytes are never held whole. Threads of Arrow's own would be needed for more at a time.
    with in_file(path), pq.ParquetFile(path, read_dictionary=text, pre_buffer=False) as file:
        parts = [
            part
            for group in range(file.num_row_groups)
            for part in file.iter_batches(_BATCH_ROWS, row_groups=[group], use_threads=False)
        ]
        return pa.Table.from_batches(parts, file.schema_arrow).unify_dictionaries()


def read_csv(
    source: Path | pa.Buffer,
    path: Path,
    names: Sequence[str] | None = None,
    parse: pcsv.ParseOptions | None = None,
    convert: pcsv.ConvertOptions | None = None,
) -> pa.Table:
    """A CSV file whose text is UTF-8. names: of its columns, where it has no header.

    Raises ValueError naming the file, and the line (from 1) and column that are wrong.
    """

    def read(threads: bool) -> pa.Table:
        given = pa.BufferReader(source) if isinstance(source, pa.Buffer) else source
        return pcsv.read_csv(given, pcsv.ReadOptions(use_threads=threads, column_names=names), parse, convert)

    with in_file(path):
        try:
            table = read(True)
        except pa.ArrowInvalid:
            table = _again(lambda: read(False), names)
        for name in table.column_names:
            if pa.types.is_binary(table.schema.field(name).type):
                _refuse_bytes(table[name], name, 1 if names else 2)
        return table


def _again(read: object, names: Sequence[str] | None) -> pa.Table:
    """Reads once more in one thread, as only then the error tells its row."""
    try:
        return read()  # type: ignore[operator]
    except pa.ArrowInvalid as error:
        words = str(error).removeprefix("CSV parse error: ").replace("CSV conversion error to ", "expected ")
        words = re.sub(r"Row #(\d+)", r"line \1", words)
        if names:
            words = re.sub(r"In CSV column #(\d+)", lambda found: names[int(found[1])], words)
        raise ValueError(words.replace("expected string: invalid UTF8 data", "expected text in UTF-8")) from None


def _refuse_bytes(column: pa.ChunkedArray, name: str, first: int) -> None:
    for row, value in enumerate(column.to_pylist()):
        try:
            (value or b"").decode()
        except UnicodeDecodeError:
            raise ValueError(f"{name}: expected text in UTF-8, got {value[:40]!r} in line {row + first}") from None
