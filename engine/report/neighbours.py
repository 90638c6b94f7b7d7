"""An item's neighbours by each method as tables."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import torch

from headrace.report import formats as f
from headrace.report.page import Section, Table
from headrace.serving import Engine

#: Columns of the snapshot's items that people read.
_READ = ("title", "author", "category")


def neighbour_section(engine: Engine, items: pa.Table, item: str, methods: Sequence[str], k: int) -> Section:
    """A table for each channel that knows which items are alike, of at most `k` neighbours of the item of id `item`.

    items: the snapshot's table of items. methods: names of channels; all that know such a thing where there are none.
    Raises ValueError for an item or a method that the snapshot doesn't have.
    """
    (row,) = engine.items.rows(engine.items.parse([item])).tolist()
    if row < 0:
        raise ValueError(f"item: expected one of the snapshot's, got {item!r:.60}")
    asked = torch.tensor([row])
    lists = {channel.name: channel.neighbours(asked, k) for channel in engine.funnel.channels}
    known = {name: found for name, found in lists.items() if found is not None}
    for name in methods:
        if name not in known:
            raise ValueError(f"method: expected one of {', '.join(known) or 'none'}, got {name!r:.60}")
    columns = [name for name in _READ if name in items.column_names]
    tables = []
    for name, found in known.items():
        if methods and name not in methods:
            continue
        about = _words(engine, items, columns, found.item.tolist())
        rows = [
            [str(place), *words, f.fixed(score, 4)]
            for place, (words, score) in enumerate(zip(about, found.score.tolist(), strict=True), 1)
        ]
        note = "" if rows else "It has none: too few took an interest in it, or it is too old to be recalled."
        tables.append(Table(name, ["", "item", *columns, "likeness"], rows, 2 + len(columns), note=note))
    (own,) = _words(engine, items, columns, [row])
    return Section("neighbours", f"Neighbours of {', '.join(word for word in own if word)}", tables)


def _words(engine: Engine, items: pa.Table, columns: Sequence[str], rows: Sequence[int]) -> list[list[str]]:
    """Of each row its id, and the texts of the columns."""
    taken = items.take(pa.array(rows, pa.int64()))
    texts = [[text or "" for text in taken[name].to_pylist()] for name in columns]
    ids = [str(one) for one in taken["id"].to_pylist()]
    return [list(one) for one in zip(ids, *texts, strict=True)]
