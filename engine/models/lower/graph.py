"""A traced network as values, each of its own stage, and pieces of them."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from headrace.kernels.network.instructions import Instruction

#: What a value depends on, as bits: nothing, the request, the item, both.
CONSTANT, REQUEST, ITEM, PAIR = range(4)

_order = itertools.count()


class CannotLower(Exception):
    """A network that no program can express; says what stands in the way."""


@dataclass(eq=False)
class Value:
    """`width` numbers of a stage. order: made after every value that it reads."""

    stage: int
    width: int
    order: int = field(default_factory=lambda: next(_order), init=False)


class Piece(NamedTuple):
    """`size` numbers of a value, from `first` on."""

    value: Value
    first: int
    size: int


@dataclass(eq=False)
class Input(Value):
    """A dense column, or where there is a `table` the row that the column's code says, `start` added."""

    column: str
    table: Tensor | None = None
    start: int = 0


@dataclass(eq=False)
class Lookup(Value):
    """The rows `start` to `start + size` of `table`, by the codes of a column of the pair."""

    column: str
    table: Tensor
    start: int
    size: int


@dataclass(eq=False)
class Constant(Value):
    """values: float64 [width]."""

    values: Tensor


@dataclass(frozen=True)
class Term:
    """piece times `weight` (float64 [piece.size, width]; None: as it is), added to `width` numbers from `at` on."""

    piece: Piece
    weight: Tensor | None
    at: int
    width: int

    def within(self, first: int, count: int) -> Term | None:
        """The part that lands in `count` numbers from `first` on."""
        low, high = max(self.at, first), min(self.at + self.width, first + count)
        if low >= high:
            return None
        cut, width = low - self.at, high - low
        if self.weight is not None:
            return Term(self.piece, self.weight[:, cut : cut + width], low - first, width)
        value, start, _ = self.piece
        return Term(Piece(value, start + cut, width), None, low - first, width)

    def matrix(self, width: int) -> Tensor:
        """float64 [piece.size, width]: the weight with zeros around it."""
        full = torch.zeros(self.piece.size, width, dtype=torch.float64)
        part = torch.eye(self.piece.size, dtype=torch.float64) if self.weight is None else self.weight
        full[:, self.at : self.at + self.width] = part
        return full


@dataclass(eq=False)
class Form(Value):
    """bias (float64 [width]) plus the terms, then max(0, .) where `relu`."""

    bias: Tensor
    terms: tuple[Term, ...]
    relu: bool = False

    def cut(self, first: int, count: int) -> Form:
        """`count` numbers of it as a form of their own."""
        terms = tuple(part for term in self.terms if (part := term.within(first, count)) is not None)
        return form(self.bias[first : first + count], terms, self.relu)

    @property
    def loose(self) -> bool:
        """Whether no candidate has to multiply for it: request and item parts, and look-ups."""
        return not self.relu and all(
            term.piece.value.stage != PAIR or isinstance(term.piece.value, Lookup) for term in self.terms
        )


#: float64 [m] -> its place in the weights.
Keep = Callable[[Tensor], int]
#: (out, place of each operand, `Keep`) -> instruction.
Build = Callable[[int, Sequence[int], Keep], Instruction]


@dataclass(eq=False)
class Step(Value):
    """One instruction over operands, each a run of columns. in_place: the one operand is where the result is.

    product: an element-by-element product of its two operands. cut: (first, size) -> that part as a step of its own.
    over: operands in whose columns the result may be.
    """

    operands: tuple[tuple[Piece, ...], ...]
    build: Build
    in_place: bool = False
    product: bool = False
    cut: Callable[[int, int], Step] | None = None
    over: tuple[int, ...] = ()


def form(bias: Tensor, terms: Sequence[Term], relu: bool = False) -> Form:
    stage = CONSTANT
    for term in terms:
        stage |= term.piece.value.stage
    return Form(stage, len(bias), bias, tuple(terms), relu)


def step(
    width: int,
    operands: Sequence[Sequence[Piece]],
    build: Build,
    *,
    stage: int = CONSTANT,
    in_place: bool = False,
    product: bool = False,
    cut: Callable[[int, int], Step] | None = None,
    over: tuple[int, ...] = (),
) -> Step:
    for piece in itertools.chain(*operands):
        stage |= piece.value.stage
    return Step(stage, width, tuple(tuple(operand) for operand in operands), build, in_place, product, cut, over)


def whole(value: Value) -> Piece:
    return Piece(value, 0, value.width)


def joined(pieces: Iterable[Piece]) -> list[Piece]:
    """The same numbers in as few pieces as can be."""
    out: list[Piece] = []
    for piece in pieces:
        if out and out[-1].value is piece.value and out[-1].first + out[-1].size == piece.first:
            out[-1] = Piece(piece.value, out[-1].first, out[-1].size + piece.size)
        elif piece.size:
            out.append(piece)
    return out


def cut(pieces: Sequence[Piece], first: int, count: int) -> list[Piece]:
    """`count` of the numbers of some pieces, from `first` on."""
    starts = list(itertools.accumulate((piece.size for piece in pieces), initial=0))
    out = []
    at = bisect_right(starts, first) - 1
    while count:
        value, start, size = pieces[at]
        inside = first - starts[at]
        took = min(size - inside, count)
        if took:
            out.append(Piece(value, start + inside, took))
        first, count, at = first + took, count - took, at + 1
    return joined(out)


def select(pieces: Sequence[Piece], index: Tensor) -> list[Piece]:
    """The numbers at `index` (int64 [m])."""
    if not len(index):
        return []
    breaks = (index.diff() != 1).nonzero()[:, 0] + 1
    bounds = [0, *breaks.tolist(), len(index)]
    starts = index.tolist()
    parts = [cut(pieces, starts[low], high - low) for low, high in itertools.pairwise(bounds)]
    return joined(itertools.chain(*parts))


@dataclass(frozen=True)
class Flat:
    """A traced tensor: `shape` without the candidates, its numbers one after another."""

    shape: tuple[int, ...]
    pieces: tuple[Piece, ...]
    #: Whether more than one step reads it.
    shared: bool = False

    @property
    def total(self) -> int:
        return sum(piece.size for piece in self.pieces)

    def index(self, start: int = 0) -> Tensor:
        """int64 [*shape]: the place of each of its numbers."""
        size = 1
        for length in self.shape:
            size *= length
        return torch.arange(start, start + size).reshape(self.shape)


def flat(shape: Sequence[int], pieces: Iterable[Piece]) -> Flat:
    return Flat(tuple(shape), tuple(joined(pieces)))


def of_values(shape: Sequence[int], values: Iterable[Value]) -> Flat:
    return flat(shape, [whole(value) for value in values])


def stage_runs(stages: Tensor) -> list[tuple[int, int]]:
    """(first, count) of the runs of equal numbers in int64 [m]."""
    if not len(stages):
        return []
    bounds = [0, *((stages.diff() != 0).nonzero()[:, 0] + 1).tolist(), len(stages)]
    return [(low, high - low) for low, high in itertools.pairwise(bounds)]


def stages_of(pieces: Sequence[Piece]) -> Tensor:
    """int64 [m]: the stage of each number."""
    counts = torch.tensor([piece.size for piece in pieces], dtype=torch.int64)
    return torch.tensor([piece.value.stage for piece in pieces], dtype=torch.int64).repeat_interleave(counts)
