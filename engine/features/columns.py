"""Columns: the named inputs of every model, each with a side and a kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

#: What a value depends on when a snapshot serves: the request (user, moment, context), the item alone, or both.
Side = Literal["request", "item", "pair"]
#: code: int, 0 (unknown) to size - 1. dense: float32, `size` numbers. sequence: int, codes of another column, newest
#: first, 0 where there is no entry.
Kind = Literal["code", "dense", "sequence"]


@dataclass(frozen=True)
class Column:
    """One input of a model. Its tensor has one row for each candidate: [n] for a code, [n, size] for the others.

    size: codes there are, numbers, or the most entries. of: the code column whose codes a sequence lists.
    """

    name: str
    side: Side
    kind: Kind
    size: int
    of: str | None = None


class Columns(Sequence[Column]):
    """All columns that a store makes, in order; what a model is built from."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = tuple(columns)
        self._by_name = {column.name: column for column in self._columns}
        if len(self._by_name) < len(self._columns):
            raise ValueError(f"columns: expected distinct names, got {[c.name for c in self._columns]}")

    def __len__(self) -> int:
        return len(self._columns)

    def __iter__(self) -> Iterator[Column]:
        return iter(self._columns)

    def __getitem__(self, place):  # type: ignore[no-untyped-def]
        """By place, or by name; KeyError lists the names."""
        if isinstance(place, str):
            if place not in self._by_name:
                raise KeyError(f"column: expected one of {', '.join(self._by_name)}, got {place!r}")
            return self._by_name[place]
        return self._columns[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Columns) and self._columns == other._columns

    def __hash__(self) -> int:
        return hash(self._columns)

    def of(self, kind: Kind, *sides: Side) -> tuple[Column, ...]:
        """The columns of a kind, of some sides (none given: of all)."""
        return tuple(c for c in self._columns if c.kind == kind and (not sides or c.side in sides))
