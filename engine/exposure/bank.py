"""One size class of the exposure filter: equal Bloom filters, claimed by (user, slot) when first needed."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.bloom import bloom_contains, bloom_fpr, bloom_insert, bloom_size


class FilterBank:
    """Bloom filters of `capacity` keys each, one for each (user, slot) that claimed one.

    row: int32 [1 + users, slots], the filter of each pair, -1 none; entry 0 is nobody's, so user u is entry u + 1.
    bits: int64 [filters, words]. Writers take turns (the owner's lock). Readers need no lock: a filter is in `bits`
    before `row` names it, so they copy from `row` first, and filters of live slots are never taken back.
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

    def grow_users(self, entries: int) -> None:
        more = entries - self.row.shape[0]
        self.row = torch.cat([self.row, torch.full((more, self.row.shape[1]), -1, dtype=torch.int32)])

    def contains_in(self, entries: Tensor, slots: Tensor, items: Tensor) -> Tensor:
        """bool [n]: whether the given slot of each entry may hold its item."""
        rows = self.row[entries, slots].long()
        return bloom_contains(self.bits, rows, items, self.hashes)

    def insert(self, entries: Tensor, slots: Tensor, items: Tensor) -> None:
        self._claim(entries * self.row.shape[1] + slots)
        bloom_insert(self.bits, self.row[entries, slots].long(), items, self.hashes)

    def drop(self, slot: int) -> None:
        """Empties a slot for every user and takes its filters back."""
        rows = self.row[:, slot]
        taken = rows[rows >= 0]
        self.row[:, slot] = -1
        self.bits.index_fill_(0, taken.long(), 0)
        self._free = torch.cat([self._free, taken])

    def load(self, row: Tensor, bits: Tensor) -> None:
        """Takes over the tensors of a saved bank."""
        self.row, self.bits = row, bits
        used = torch.zeros(bits.shape[0], dtype=torch.bool)
        used[row[row >= 0].long()] = True
        self._free = (~used).nonzero().squeeze(1).to(torch.int32)

    def _claim(self, pairs: Tensor) -> None:
        pairs = pairs[self.row.view(-1)[pairs] < 0].unique()
        if pairs.shape[0] == 0:
            return
        self._grow(pairs.shape[0] - self._free.shape[0])
        left = self._free.shape[0] - pairs.shape[0]
        self._free, taken = self._free[:left], self._free[left:]
        self.row.view(-1)[pairs] = taken

    def _grow(self, missing: int) -> None:
        if missing <= 0:
            return
        old = self.bits.shape[0]
        new = max(old + missing, old + old // 2)
        self.bits = torch.cat([self.bits, torch.zeros(new - old, self.words, dtype=torch.int64)])
        self._free = torch.cat([self._free, torch.arange(old, new, dtype=torch.int32)])
