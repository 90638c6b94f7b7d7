"""A candidate's sum, split by what each part depends on: the request's row, the item's row, rows of codes, the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from headrace.kernels.network import instructions as ins
from headrace.models.lower.graph import (
    CONSTANT,
    ITEM,
    PAIR,
    REQUEST,
    Form,
    Keep,
    Lookup,
    Piece,
    Step,
    Term,
    form,
    step,
    whole,
)

#: What is of the item alone is multiplied out into its row, unless it is there as it is and at most this wide.
KEPT = 32


@dataclass(eq=False)
class CodeRows:
    """Columns of the rows of codes: of each look-up, its row through a weight, added to columns from `at` on.

    bias: float64 [width], which every candidate has once.
    """

    width: int
    terms: Sequence[Term]
    bias: Tensor | None = None


@dataclass(frozen=True)
class Own:
    """The request's own weights for a piece: a step of the request stage gives them, [piece.size, width]."""

    piece: Piece
    weights: Step


@dataclass(eq=False)
class Split:
    """A form as a stage computes it. bias: what it starts from; None where a row has it already."""

    width: int
    relu: bool
    bias: Tensor | None
    request: Piece | None = None
    item: Piece | None = None
    codes: CodeRows | None = None
    own: list[Own] = field(default_factory=list)
    terms: list[Term] = field(default_factory=list)


def split(one: Form, stage: int, raw: Callable[[Piece], bool]) -> Split:
    """`one` for its stage; raw: whether the item's row has a piece as it is."""
    if stage != PAIR:
        return Split(one.width, one.relu, one.bias, terms=list(one.terms))
    parts: dict[object, list[Term]] = {REQUEST: [], ITEM: [], PAIR: [], Lookup: []}
    for term in one.terms:
        value = term.piece.value
        parts[Lookup if isinstance(value, Lookup) else value.stage].append(term)
    made = Split(one.width, one.relu, one.bias, terms=parts[PAIR])
    items = parts[ITEM]
    if len(items) == 1 and items[0].weight is not None and items[0].piece.size <= KEPT:
        folded = [term for term in made.terms if _folds(term, items[0])]
        if folded:
            made.own.append(_fold(items[0], folded[0]))
            made.terms.remove(folded[0])
            items = []
        elif raw(items[0].piece):
            made.terms.insert(0, items[0])
            items = []
    if items:
        made.item, made.bias = _row(one.width, items, one.bias), None
    if parts[Lookup]:
        made.codes = CodeRows(one.width, parts[Lookup], made.bias)
        made.bias = None
    if parts[REQUEST]:
        made.request = _row(one.width, parts[REQUEST], made.bias)
        made.bias = None
    return made


def _row(width: int, terms: list[Term], bias: Tensor | None) -> Piece:
    """The sum of the terms as a value of their own stage; a single number run as it is stays itself."""
    plain = len(terms) == 1 and terms[0].weight is None and terms[0].width == width
    if plain and (bias is None or not bias.any()):
        return terms[0].piece
    return whole(form(torch.zeros(width, dtype=torch.float64) if bias is None else bias, terms))


def _folds(term: Term, item: Term) -> bool:
    """Whether `term` is the product of `item`'s piece and numbers of the request."""
    value = term.piece.value
    if not isinstance(value, Step) or not value.product or term.weight is None or term.piece != whole(value):
        return False
    same = (term.at, term.width) == (item.at, item.width)
    return same and _other(value, item.piece) is not None


def _other(product: Step, piece: Piece) -> tuple[Piece, ...] | None:
    """The request's side of a product whose other side is `piece`."""
    a, b = product.operands
    for one, other in ((a, b), (b, a)):
        if one == (piece,) and all(part.value.stage in (CONSTANT, REQUEST) for part in other):
            return other
    return None


def _fold(item: Term, product: Term) -> Own:
    plain, times = item.weight, product.weight
    assert isinstance(product.piece.value, Step)
    request = _other(product.piece.value, item.piece)
    assert plain is not None
    assert times is not None
    assert request is not None
    inputs, width = plain.shape

    def build(out: int, at: Sequence[int], keep: Keep) -> ins.Fold:
        return ins.Fold(out, width, at[0], inputs, keep(plain.flatten()), keep(times.flatten()), width)

    return Own(item.piece, step(inputs * width, [request], build, stage=REQUEST))
