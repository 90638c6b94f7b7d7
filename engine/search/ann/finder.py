"""What finds candidates, and candidates as bits."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from headrace.search.ann.settings import Method


class Finder(Protocol):
    """A structure over the rows of a catalogue, searched with `settings`; it never changes.

    takes_masks_by_query: whether `find` serves a mask [B, ceil(N/64)] as well as one for all queries.
    """

    takes_masks_by_query: bool

    @property
    def settings(self) -> Method: ...

    def find(self, queries: Tensor, k: int, mask: Tensor | None, threads: int) -> Tensor:
        """A bitset int64 [B, ceil(N/64)] of candidates, all of them allowed by `mask`; see `topk` for both."""
        ...

    def tuned(self, settings: Any) -> Finder:
        """The same structure, searched with other settings."""
        ...

    def state(self) -> dict[str, Tensor]:
        """All of the structure."""
        ...


#: How many bits are set in each number of 16 bits.
_ONES = np.unpackbits(np.arange(1 << 16, dtype=np.uint16).view(np.uint8)).reshape(-1, 16).sum(1, dtype=np.uint8)


def share_allowed(mask: Tensor, n_items: int) -> float:
    """Of the items, those that a mask for all queries allows; see `topk` for masks."""
    words = mask.view(torch.int64).contiguous().numpy().view(np.uint16)
    return min(1.0, int(_ONES[words].sum(dtype=np.int64)) / n_items)


def bits_of(query: Tensor, row: Tensor, n_queries: int, n_items: int) -> Tensor:
    """int64 [n_queries, ceil(n_items/64)] from distinct pairs (int64 [m] each)."""
    words = (n_items + 63) // 64
    bits = torch.zeros(n_queries * words, dtype=torch.int64)
    # Distinct pairs are distinct bits, of which the sum is the union.
    bits.index_add_(0, query * words + (row >> 6), torch.ones_like(row) << (row & 63))
    return bits.view(n_queries, words)
