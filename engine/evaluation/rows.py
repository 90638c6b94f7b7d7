"""A log of any source in the rows of a snapshot: what the snapshot does not know is counted and left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.data import Catalogue, Dataset, InteractionLog, Users, read
from headrace.data.feedback import POSITIVE
from headrace.data.files import MOST_ROWS
from headrace.data.parquet import read_log
from headrace.features.families.words import Words
from headrace.serving import Engine


class Aligned(NamedTuple):
    """log: in the snapshot's rows and codes. left_out: what it does not know -> rows left out because of it."""

    log: InteractionLog
    left_out: dict[str, int]


def read_rows(path: str | Path, most_rows: int = MOST_ROWS, positive: float = POSITIVE) -> Dataset:
    """The dataset of a folder that `read` takes, or of one Parquet file of log rows (columns as in `log.parquet`).

    most_rows: of each file. positive: ratings from here on are clicks.

    Raises FileNotFoundError where there is nothing, ValueError, naming the file, for what cannot be read.
    """
    source = Path(path)
    if not source.is_file():
        return read(source, most_rows=most_rows, positive=positive)
    found, words = read_log(source, "drop", most_rows, positive)
    users, items = Users(found.users), Catalogue(found.items)
    notes = (f"{source.name}: {words}",) if words else ()
    return Dataset(
        source.stem, users, items, found.log, rows=found.rows, context_names=found.context_names, notes=notes
    )


def aligned(dataset: Dataset, engine: Engine, name: str) -> Aligned:
    """The log of `dataset` in the rows of `engine`'s users and items, with contexts in the codes of its snapshot.

    Contexts that the snapshot lacks are left out. Raises ValueError, calling the log `name`, where the ids are of the
    other kind, as of strings where the snapshot's are integers.
    """
    log = dataset.log
    user = _rows(dataset.users.ids.ids, engine, "users", name)[log.user]
    item = _rows(dataset.catalogue.ids.ids, engine, "items", name)[log.item]
    left_out = {
        "rows of unknown users": int((user < 0).sum()),
        "rows of unknown items": int(((user >= 0) & (item < 0)).sum()),
    }
    known = (user >= 0) & (item >= 0)
    kept = replace(log, user=user.astype(np.int32), item=item.astype(np.int32)).take(known)
    return Aligned(replace(kept, context=_contexts(dataset, engine, kept)), left_out)


def _rows(ids: NDArray[np.generic], engine: Engine, side: str, name: str) -> NDArray[np.int64]:
    known = engine.users if side == "users" else engine.items
    try:
        return known.rows(ids)  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError(f"{name}: {side}: {error}, as in the snapshot") from None


def _contexts(dataset: Dataset, engine: Engine, log: InteractionLog) -> dict[str, NDArray[np.int32]]:
    """Codes by name; a word that the snapshot's log did not have, and codes where it had words, are unknown."""
    words = engine.funnel.store.family(Words)
    out = {}
    for name, codes in log.context.items():
        texts = dataset.context_names.get(name)
        table = None if words is None else words.context(name, pa.array(texts or [], pa.string()))
        if (texts is None) == (table is None):
            # The last entry is that of -1.
            out[name] = codes if table is None else np.append(table, -1).astype(np.int32)[codes]
    return out
