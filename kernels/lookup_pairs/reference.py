"""The definition, in plain torch: a binary search among all pairs of a table."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from headrace.kernels.checks import check_offsets

Columns = tuple[Tensor, Tensor, Tensor, Tensor | None]


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
    tables = list(zip(lists, codes, rows, item_codes, strict=True))
    check_input(tables, keys, offsets, item)
    owner = torch.repeat_interleave(torch.arange(len(offsets) - 1, device=item.device), offsets.diff())
    parts = []
    for (starts, code, row, item_code), key in zip(tables, keys, strict=True):
        asked = key[owner]
        first, second = (item, asked) if item_code is None else (asked, item_code[item].long())
        span = int(code.max()) + 1 if len(code) else 1
        seen = torch.repeat_interleave(torch.arange(len(starts) - 1, device=item.device), starts.diff()) * span + code
        known = (first >= 0) & (second >= 0) & (second < span)
        pair = torch.where(known, first * span + second, -1)
        place = torch.searchsorted(seen, pair)
        found = known & (place < len(seen))
        found &= torch.where(found, seen[place.clamp_max(len(seen) - 1)] == pair, False) if len(seen) else False
        parts.append(row[torch.where(found, place + 1, 0)])
    return torch.cat(parts, 1)


def check_input(tables: Sequence[Columns], keys: Tensor, offsets: Tensor, item: Tensor) -> None:
    """Raises ValueError for a list or an item that a table does not have, or offsets that do not rise to n."""
    check_offsets("offsets", offsets, item.shape[0])
    asked = offsets.diff() > 0
    for (starts, _, _, item_code), key in zip(tables, keys, strict=True):
        items = len(starts) - 1 if item_code is None else len(item_code)
        if len(item) and not 0 <= int(item.min()) <= int(item.max()) < items:
            raise ValueError(f"item: expected 0 to {items - 1}, got another")
        outside = asked & ((key < -1) | (key >= len(starts) - 1))
        if item_code is not None and bool(outside.any()):
            raise ValueError(f"key: expected -1 to {len(starts) - 2}, got {int(key[outside][0])}")
