"""Bags of codes: several of one column for a row."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headrace.state import State


@dataclass(frozen=True)
class Bags:
    """offsets: int64 [n + 1]. codes: int32 [nnz], 1 to size - 1; row i owns codes[offsets[i]:offsets[i + 1]]."""

    offsets: Tensor
    codes: Tensor
    size: int

    def state(self) -> State:
        return State.of(offsets=self.offsets, codes=self.codes, size=self.size)

    @classmethod
    def from_state(cls, state: State) -> Bags:
        size = state.fact("size", int)
        codes = state.tensor("codes", torch.int32, None, least=1, below=size)
        return cls(state.offsets("offsets", "items", len(codes)), codes, size)
