"""Look-ups by pair: the rows of tables keyed by something of the request and something of the candidate."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from headrace.kernels.checks import check_tensor
from headrace.kernels.edge import IDS, takes
from headrace.kernels.lookup_pairs.tables import PairTable
from headrace.kernels.registry import Op

__all__ = ["PairTable", "lookup_pairs"]

OP = Op("lookup_pairs", __name__, "rows of tables keyed by request and candidate", ("scalar",))


@takes(keys=IDS, offsets=IDS, item=IDS)
def lookup_pairs(
    tables: Sequence[PairTable],
    keys: Tensor,
    offsets: Tensor,
    item: Tensor,
    *,
    backend: str = "auto",
    threads: int = 0,
) -> Tensor:
    """float32 [n, sum of widths]: each candidate's row in each table, tables side by side.

    keys: int64 [T, B], what each request has in each table: its list (-1: none), or a code where the lists are the
    items'. offsets: int64 [B+1]; request b owns candidates offsets[b]:offsets[b+1]. item: int64 [n]. A pair that a
    table does not have gets its row 0.
    Raises ValueError for a list or an item that a table does not have, offsets that do not rise from 0 to n, wrong
    shapes or devices; TypeError for wrong types.
    """
    if not tables:
        raise ValueError("tables: expected at least 1, got 0")
    device = tables[0].rows.device
    check_tensor("keys", keys, dtype=torch.int64, ndim=2, device=device)
    check_tensor("offsets", offsets, dtype=torch.int64, ndim=1, device=device)
    check_tensor("item", item, dtype=torch.int64, ndim=1, device=device)
    if keys.shape != (len(tables), len(offsets) - 1):
        raise ValueError(f"keys: expected shape {(len(tables), len(offsets) - 1)}, got {tuple(keys.shape)}")
    return OP(  # type: ignore[no-any-return]
        [table.offsets for table in tables],
        [table.codes for table in tables],
        [table.rows for table in tables],
        [table.item_code for table in tables],
        *(keys.contiguous(), offsets.contiguous(), item.contiguous()),
        backend=backend,
        threads=threads,
    )


def _fake(
    lists: list[Tensor],
    codes: list[Tensor],
    rows: list[Tensor],
    item_codes: list[Tensor | None],
    keys: Tensor,
    offsets: Tensor,
    item: Tensor,
) -> Tensor:
    return rows[0].new_empty((item.shape[0], sum(table.shape[1] for table in rows)))


OP.register(
    "(Tensor[] lists, Tensor[] codes, Tensor[] rows, Tensor?[] item_codes, Tensor keys, Tensor offsets, Tensor item)"
    " -> Tensor",
    "lists int64 *, codes int32 *, rows float32 * *, item_codes int32 *, keys int64 T B, offsets int64 B+1,"
    " item int64 n",
    _fake,
)
