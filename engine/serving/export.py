"""Lists for all users of a snapshot, as one Parquet file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from rich.progress import Progress

from headrace.data.ids import IdMap
from headrace.kernels import atomic
from headrace.serving.engine import Engine
from headrace.types import FILL, Candidates

_BATCH = 1024


def write_lists(
    engine: Engine,
    path: Path,
    k: int | None = None,
    *,
    channel: str | None = None,
    at: int | None = None,
    progress: Progress | None = None,
) -> int:
    """Writes the page of every user of the snapshot to `path`, a batch at a time; returns the number of rows.

    Columns: user, rank (int32, from 1), item, score (float32) and channels (the names of those that found it, joined by
    commas); by user, best first. k: items a page; the setting page.shown where not given. channel: lists of this recall
    channel alone, with its own scores. at: as for `Engine.recommend`. The file appears whole or not at all.
    Raises ValueError for a channel that the snapshot lacks, OSError where the file cannot be written.
    """
    ids = [pa.array(table.ids[:0]).type for table in (engine.users, engine.items)]
    names = pa.dictionary(pa.int32(), pa.string())
    fields = [("user", ids[0]), ("rank", pa.int32()), ("item", ids[1]), ("score", pa.float32()), ("channels", names)]
    schema, rows = pa.schema(fields), 0
    task = progress.add_task("users", total=len(engine.users)) if progress else None
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic.replace(path) as part, pq.ParquetWriter(part, schema) as file:
        for start in range(0, len(engine.users), _BATCH):
            user = np.arange(start, min(start + _BATCH, len(engine.users)))
            lists = engine.lists(user, k, channel=channel, at=at)
            file.write_table(_table(lists, user, engine.users, engine.items, _sources(engine, channel), schema))
            rows += len(lists)
            if progress and task is not None:
                progress.advance(task, len(user))
    return rows


def _sources(engine: Engine, channel: str | None) -> dict[int, str]:
    """Bit -> what found the item."""
    if channel is not None:
        return {0: channel}
    return {place: one.name for place, one in enumerate(engine.funnel.channels)} | {FILL: "fill"}


def _table(
    lists: Candidates, user: np.ndarray, users: IdMap, items: IdMap, sources: dict[int, str], schema: pa.Schema
) -> pa.Table:
    request = lists.request
    rank = torch.arange(len(lists)) - lists.offsets[request] + 1
    # Few sets of channels occur, so their names are joined once each.
    sets, which = np.unique(lists.channels.numpy(), return_inverse=True)
    joined = [",".join(name for place, name in sources.items() if bits >> place & 1) for bits in sets.tolist()]
    columns = [
        pa.array(users.external(user[request.numpy()])),
        pa.array(rank.int().numpy()),
        pa.array(items.external(lists.item.numpy())),
        pa.array(lists.score.numpy()),
        pa.DictionaryArray.from_arrays(pa.array(which.astype(np.int32)), pa.array(joined, pa.string())),
    ]
    return pa.Table.from_arrays(columns, schema=schema)
