"""A bank of Bloom filters in plain torch: every bit of every key at once, as a user of torch would write it."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Bank:
    """`users` classic filters for `capacity` keys at false-positive rate `fpr`, one byte a bit.

    Bytes cost eight times the memory of bits and spare the read-modify-write and the shifts, which torch has no kernel
    for: it is the fast way here. Two hashes of 32 bits make all others (Kirsch, Mitzenmacher, 2006).
    """

    def __init__(self, users: int, capacity: int, fpr: float) -> None:
        self.hashes = max(1, round(math.log2(1 / fpr)))
        self.bits = math.ceil(capacity * math.log(1 / fpr) / math.log(2) ** 2)
        self.flags = torch.zeros(users * self.bits, dtype=torch.bool)
        self.steps = torch.arange(self.hashes)

    def clear(self) -> None:
        self.flags.zero_()

    def insert(self, rows: Tensor, keys: Tensor) -> None:
        self.flags[self._places(rows, keys)] = True

    def contains(self, rows: Tensor, keys: Tensor) -> Tensor:
        """bool [n]."""
        return self.flags[self._places(rows, keys)].all(1)

    def _places(self, rows: Tensor, keys: Tensor) -> Tensor:
        """int64 [n, hashes]."""
        mixed = keys * -7046029254386353131  # 2^64 / golden ratio, odd
        mixed ^= mixed >> 29
        mixed *= -4658895280553007687
        first, second = mixed & 0xFFFFFFFF, (mixed >> 32) & 0xFFFFFFFF | 1
        places = torch.addcmul(first.unsqueeze(1), second.unsqueeze(1), self.steps).remainder_(self.bits)
        return places.add_((rows * self.bits).unsqueeze(1))
