"""Bitsets over rows: int64 words, row i is bit i % 64 of word i // 64."""

from __future__ import annotations

import torch
from torch import Tensor


def words_of(rows: int) -> int:
    return (rows + 63) // 64


def all_rows(rows: int, device: torch.device) -> Tensor:
    """int64 [ceil(rows/64)]: the bits of `rows` rows."""
    words = torch.full((words_of(rows),), -1, device=device)
    if rows % 64:
        words[-1] = (1 << rows % 64) - 1
    return words


def bits_of(rows: Tensor, words: int) -> Tensor:
    """int64 [..., words]: the bits of `rows` int64 [..., m], in any order, twice or not; -1 stands for none."""
    bits = rows.new_zeros(*rows.shape[:-1], words)
    if not words:
        return bits
    rows = rows.sort(dim=-1).values
    new = rows >= 0
    new[..., 1:] &= rows[..., 1:] != rows[..., :-1]
    rows = rows.clamp_min(0)
    # Each bit is added once, so adding is setting.
    return bits.scatter_add_(-1, rows // 64, new.long() << rows % 64)


def has_bit(words: Tensor, rows: Tensor) -> Tensor:
    """bool like `rows`, each at least 0: whether its bit is set in `words` int64 [W]."""
    return (words[rows // 64] >> rows % 64) & 1 != 0


def rows_in(words: Tensor) -> Tensor:
    """int64 [n], rising: the rows whose bits are set in `words` int64 [W]."""
    bits = words.view(torch.uint8).unsqueeze(1) >> torch.arange(8, dtype=torch.uint8, device=words.device) & 1
    return bits.flatten().nonzero().squeeze(1)
