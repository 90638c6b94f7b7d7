"""A catalogue in a folder of index files, one for each shard."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from headrace.kernels.atomic import replace
from headrace.kernels.checks import check_at_least, check_shape
from headrace.kernels.edge import FLOATS, IDS, takes
from headrace.kernels.index.index import TopKIndex
from headrace.kernels.index.storage import write_index
from headrace.kernels.topk.checks import check_items

_NAME = re.compile(r"shard-(\d{5})-of-(\d{5})\.topk")
_MOST = 99_999


@takes(items=FLOATS, ids=IDS)
def save_shards(
    folder: str | Path,
    items: Tensor,
    shards: int,
    ids: Tensor | None = None,
    metric: str = "ip",
    scan: str = "auto",
    keep: str = "memory",
) -> None:
    """Splits a catalogue into shards of nearly equal size, each a range of ids, and writes one index file for each.

    folder: must not exist, or be empty; it appears with all shards or not at all. keep: "memory", or
    "none" for files of packed numbers alone. The rest is as in `TopKIndex`. More
    shards than items leave some empty. One shard is copied and packed at a time.

    Raises FileExistsError where the folder holds something, else as `TopKIndex` and its `save`.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"folder: expected a new or empty one, got {folder}")
    check_at_least("shards", shards, 1)
    if shards > _MOST:
        raise ValueError(f"shards: expected at most {_MOST}, got {shards}")
    if keep not in ("memory", "none"):
        raise ValueError(f"keep: expected memory or none, got {keep!r}; shards are mapped when they are loaded")
    check_items(items)
    ids = torch.arange(items.shape[0], device=items.device) if ids is None else ids
    check_shape("ids", ids, torch.int64, (items.shape[0],), items.device)
    order = ids.argsort()
    # Equal ids may part at the border of two shards, where neither index would see both.
    twice = order[1:][ids[order].diff() == 0]
    if twice.numel():
        raise ValueError(f"ids: expected distinct ids, got {int(ids[twice[0]])} twice")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replace(folder) as place:
        place.mkdir()
        for number, rows in enumerate(order.tensor_split(shards)):
            index = TopKIndex(items[rows], ids[rows], metric, scan, keep)
            write_index(place / f"shard-{number:05}-of-{shards:05}.topk", index._catalogue)


def shard_paths(folder: str | Path) -> list[Path]:
    """The files of `save_shards` in order. ValueError unless all of them, and those of no other split, are there."""
    folder = Path(folder)
    named = {path.name: path for path in folder.iterdir() if _NAME.fullmatch(path.name)}
    if not named:
        raise ValueError(f"{folder}: no shards")
    count = min(named)[-10:-5]
    expected = [f"shard-{number:05}-of-{count}.topk" for number in range(int(count))]
    for name in (*expected, *sorted(named)):
        if name not in named:
            raise ValueError(f"{folder}: {name} is missing")
        if name not in expected:
            raise ValueError(f"{folder}: expected shards of {count} only, got {name}")
    return [named[name] for name in expected]
