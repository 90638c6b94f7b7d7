"""Columns of a stage: which are free, and where the numbers that instructions share lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from headrace.kernels.network import instructions as ins
from headrace.models.lower.graph import Piece, Value


class Weights:
    """The flat list of a program's weights; the same numbers are kept once."""

    def __init__(self) -> None:
        self._parts: list[Tensor] = []
        self._places: dict[bytes, int] = {}
        self._size = 0

    def keep(self, values: Tensor) -> int:
        """The place of float64 [m]."""
        values = values.contiguous()
        key = values.numpy().tobytes()
        if key not in self._places:
            self._places[key] = self._size
            self._parts.append(values)
            self._size += len(values)
        return self._places[key]

    def all(self) -> Tensor:
        """float64 [W]."""
        return torch.cat(self._parts) if self._parts else torch.zeros(0, dtype=torch.float64)


@dataclass(eq=False)
class Block:
    """A run of columns that several values share. remaining: reads to come, of all of them."""

    size: int
    remaining: int = 0
    first: int | None = None
    keys: list[Piece] = field(default_factory=list)


class Room:
    """The columns of a stage, given to the first run that is wide enough."""

    def __init__(self) -> None:
        self.columns = 0
        self._free: list[tuple[int, int]] = []

    def take(self, size: int) -> int:
        for place, (first, count) in enumerate(self._free):
            if count >= size:
                self._free[place : place + 1] = [(first + size, count - size)] if count > size else []
                return first
        # A free run at the end is made longer.
        first = self.columns
        if self._free and sum(self._free[-1]) == self.columns:
            first = self._free.pop()[0]
        self.columns = first + size
        return first

    def give(self, first: int, size: int) -> None:
        runs: list[tuple[int, int]] = []
        for start, count in sorted([*self._free, (first, size)]):
            if runs and sum(runs[-1]) == start:
                runs[-1] = (runs[-1][0], runs[-1][1] + count)
            else:
                runs.append((start, count))
        self._free = runs


class Space:
    """Numbers that another stage, or the caller, lays side by side in a row, in the order they are asked for."""

    def __init__(self) -> None:
        self._runs: dict[Value, list[tuple[int, int]]] = {}

    def ask(self, piece: Piece) -> None:
        runs: list[tuple[int, int]] = []
        for first, end in sorted([*self._runs.get(piece.value, []), (piece.first, piece.first + piece.size)]):
            if runs and first < runs[-1][1]:
                runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
            else:
                runs.append((first, end))
        self._runs[piece.value] = runs

    def pieces(self) -> list[Piece]:
        return [Piece(value, first, end - first) for value, runs in self._runs.items() for first, end in runs]

    @property
    def width(self) -> int:
        return sum(piece.size for piece in self.pieces())

    def place(self, piece: Piece) -> int:
        at = 0
        for value, first, count in self.pieces():
            if value is piece.value and first <= piece.first < first + count:
                return at + piece.first - first
            at += count
        raise AssertionError("a piece that nobody asked for")


def consecutive(places: Sequence[int], counts: Sequence[int]) -> list[tuple[int, int]]:
    """(first, last + 1) of the runs of pieces that lie side by side, by their numbers."""
    runs: list[tuple[int, int]] = []
    for i in range(len(places)):
        if runs and places[i - 1] + counts[i - 1] == places[i]:
            runs[-1] = (runs[-1][0], i + 1)
        else:
            runs.append((i, i + 1))
    return runs


def merged(code: Sequence[ins.Instruction]) -> list[ins.Instruction]:
    """The same code with loads of neighbours to neighbours as one."""
    out: list[ins.Instruction] = []
    for step in code:
        last = out[-1] if out else None
        if isinstance(step, ins.Rows) and isinstance(last, ins.Rows) and _follows(last, step):
            out[-1] = replace(last, width=last.width + step.width)
        else:
            out.append(step)
    return out


def _follows(last: ins.Rows, step: ins.Rows) -> bool:
    if last.out + last.width != step.out:
        return False
    for name in ("request", "item", "codes", "pair"):
        before, here = getattr(last, name), getattr(step, name)
        if (before == ins.NONE) != (here == ins.NONE) or (here != ins.NONE and before + last.width != here):
            return False
    return True
