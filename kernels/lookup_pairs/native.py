"""The C++ kernel."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from headrace.kernels.settings import extension


def lookup_pairs(
    lists: Sequence[Tensor],
    codes: Sequence[Tensor],
    rows: Sequence[Tensor],
    item_codes: Sequence[Tensor | None],
    keys: Tensor,
    offsets: Tensor,
    item: Tensor,
    threads: int,
) -> Tensor:
    out = rows[0].new_empty(item.shape[0], sum(table.shape[1] for table in rows))
    tables = zip(lists, codes, rows, item_codes, strict=True)
    columns = [tuple(None if part is None else part.numpy() for part in table) for table in tables]
    extension().lookup_pairs(columns, keys.numpy(), offsets.numpy(), item.numpy(), threads, out.numpy())
    return out
