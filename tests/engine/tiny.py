"""Logs and settings so small that a build takes a fraction of a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.settings import Settings

ROWS, USERS, ITEMS = 400, 40, 90
START = 10**12

TINY = Settings.model_validate(
    {
        "channels": {
            **{name: {"quota": 0} for name in ("two_tower", "author_latest", "popular_in_category")},
            "itemcf": {"quota": 20},
            "popular": {"quota": 40},
        },
        "merge": {"total": 60},
        "page": {"ranked": 30, "shown": 10},
        "preranker": {"network": {"embedding_dim": 2}},
        "ranker": {"model": "dcn_v2", "network": {"embedding_dim": 2, "layers": 1}},
    }
)


def columns(**changed: Any) -> dict[str, Any]:
    """A log of 400 rows: 40 users, 90 items, a row a minute; `changed` adds columns, replaces them, or (None) drops."""
    row = np.arange(ROWS)
    plain = {"user": row % USERS, "item": (7 * row + row // USERS) % ITEMS, "time": START + 60_000 * row}
    return {name: column for name, column in {**plain, **changed}.items() if column is not None}


def write(folder: Path, **changed: Any) -> Path:
    """`columns` as a folder that `read_parquet` takes."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns(**changed)), folder / "log.parquet")
    return folder
