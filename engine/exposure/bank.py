"""One size class of the exposure filter: equal Bloom filters, claimed by (user, slot) when first needed."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.bloom import bloom_contains, bloom_fpr, bloom_insert, bloom_size


class FilterBank:
    """Bloom filters of `capacity` keys each, one for each (user, slot) that claimed one.

    row: int32 [1 + users, slots], the filter of each pair, -1 none; entry 0 is nobody's, so user u is entry u + 1.
    bits: int64 [filters, words]. Writers take turns (the owner's lock). Readers need no lock: a filter is in `bits`
    before `row` names it, so they copy from `row` first, and a slot loses its filters only to a newer generation.
    """

    def __init__(self, capacity: int, fpr: float, slots: int) -> None:
        self.capacity = capacity
        self.words, self.hashes = bloom_size(capacity, fpr)
        self.row = torch.full((1, slots), -1, dtype=torch.int32)
        self.bits = torch.zeros(0, self.words, dtype=torch.int64)
        self._free = torch.zeros(0, dtype=torch.int32)

    @property
    def fpr(self) -> float:
        """The false-positive rate of one full filter."""
        return bloom_fpr(self.capacity, self.words, self.hashes)

    @property
    def claimed(self) -> int:
        return self.bits.shape[0] - self._free.shape[0]

    @property
    def nbytes(self) -> int:
        return self.bits.nbytes + self.row.nbytes + self._free.nbytes

    def grown(self, entries: int) -> tuple[Tensor, ...]:
        more = entries - self.row.shape[0]
        return (torch.cat([self.row, torch.full((more, self.row.shape[1]), -1, dtype=torch.int32)]),)

    def take(self, grown: tuple[Tensor, ...]) -> None:
        (self.row,) = grown

    def contains_in(self, entries: Tensor, slots: Tensor, items: Tensor) -> Tensor:
        """bool [n]: whether the given slot of each entry may hold its item."""
        rows = self.row[entries, slots].long()
        return bloom_contains(self.bits, rows, items, self.hashes)

    def reserve(self, pairs: Tensor) -> None:
        """Makes sure that `insert` of `pairs` (int64, places in the flat `row`) finds filters enough."""
        self._grow(self._missing(pairs).shape[0] - self._free.shape[0])

    def insert(self, pairs: Tensor, items: Tensor) -> None:
        """Adds items to the filters of `pairs`, after `reserve`."""
        missing = self._missing(pairs)
        left = self._free.shape[0] - missing.shape[0]
        self._free, taken = self._free[:left], self._free[left:]
        self.row.view(-1)[missing] = taken
        bloom_insert(self.bits, self.row.view(-1)[pairs].long(), items, self.hashes)

    def release(self, pairs: Tensor) -> None:
        """Takes the filters of `pairs`, each once, back empty."""
        rows = self.row.view(-1)[pairs]
        taken = rows[rows >= 0]
        self.row.view(-1)[pairs] = -1
        self.bits.index_fill_(0, taken.long(), 0)
        self._free = torch.cat([self._free, taken])

    def load(self, row: Tensor, bits: Tensor) -> None:
        """Takes over the tensors of a saved bank."""
        self.row, self.bits = row, bits
        used = torch.zeros(bits.shape[0], dtype=torch.bool)
        used[row[row >= 0].long()] = True
        self._free = (~used).nonzero().squeeze(1).to(torch.int32)

    def _missing(self, pairs: Tensor) -> Tensor:
        without: Tensor = pairs[self.row.view(-1)[pairs] < 0].unique()
        return without

    def _grow(self, missing: int) -> None:
        if missing <= 0:
            return
        old = self.bits.shape[0]
        new = max(old + missing, old + old // 2)
        free = torch.cat([self._free, torch.arange(old, new, dtype=torch.int32)])
        self.bits = torch.cat([self.bits, torch.zeros(new - old, self.words, dtype=torch.int64)])
        self._free = free
