"""Sums: linear layers, additions and what else is linear, kept whole until a stage computes them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from headrace.models.lower.graph import PAIR, Constant, Flat, Form, Piece, Term, cut, flat, form, of_values, whole


def linear(pieces: Sequence[Piece], weight: Tensor, bias: Tensor | None) -> Form:
    """The pieces times `weight` (float64 [inputs, outputs]) plus `bias` (float64 [outputs])."""
    width = weight.shape[1]
    start = torch.zeros(width, dtype=torch.float64) if bias is None else bias
    terms: list[Term] = []
    first = 0
    for piece in pieces:
        rows = weight[first : first + piece.size]
        first += piece.size
        more, terms_of = _through(piece, rows)
        start = start + more
        terms += terms_of
    return form(start, terms)


def _through(piece: Piece, rows: Tensor) -> tuple[Tensor, list[Term]]:
    """A piece times its rows of a weight, as a bias and terms."""
    value, width = piece.value, rows.shape[1]
    if isinstance(value, Constant):
        return value.values[piece.first : piece.first + piece.size] @ rows, []
    if isinstance(value, Form) and value.stage == PAIR and value.loose:
        # Its parts go through the weight where they are computed, once a request or once an item.
        inner = value.cut(piece.first, piece.size)
        terms = []
        for term in inner.terms:
            below = rows[term.at : term.at + term.width]
            terms.append(Term(term.piece, below if term.weight is None else term.weight @ below, 0, width))
        return inner.bias @ rows, terms
    return torch.zeros(width, dtype=torch.float64), [Term(piece, rows, 0, width)]


def is_sum(value: object) -> bool:
    return isinstance(value, Form) and not value.relu


def add(x: Flat, y: Flat) -> Flat:
    """x + y, of one shape, at least one with forms: one form wherever the pieces of both have a common end."""
    values, first = [], 0
    ends = [{sum(p.size for p in side.pieces[: i + 1]) for i in range(len(side.pieces))} for side in (x, y)]
    for end in sorted(ends[0] & ends[1]):
        width = end - first
        bias, terms = torch.zeros(width, dtype=torch.float64), []
        for side in (x, y):
            at = 0
            for piece in cut(side.pieces, first, width):
                more, parts = _as_terms(piece, at)
                bias[at : at + piece.size] += more
                terms += parts
                at += piece.size
        values.append(form(bias, terms))
        first = end
    return of_values(x.shape, values)


def _as_terms(piece: Piece, at: int) -> tuple[Tensor, list[Term]]:
    value = piece.value
    if isinstance(value, Constant):
        return value.values[piece.first : piece.first + piece.size], []
    if isinstance(value, Form) and not value.relu:
        inner = value.cut(piece.first, piece.size)
        return inner.bias, [Term(t.piece, t.weight, t.at + at, t.width) for t in inner.terms]
    return torch.zeros(piece.size, dtype=torch.float64), [Term(piece, None, at, piece.size)]


def scaled(x: Flat, by: Tensor) -> Flat | None:
    """x times `by` (float64 [total]) where x is all forms; None where it is not."""
    if not all(is_sum(piece.value) for piece in x.pieces):
        return None
    pieces, at = [], 0
    for piece in x.pieces:
        assert isinstance(piece.value, Form)
        inner, factor = piece.value.cut(piece.first, piece.size), by[at : at + piece.size]
        terms = []
        for term in inner.terms:
            own = factor[term.at : term.at + term.width]
            weight = torch.diag(own) if term.weight is None else term.weight * own
            terms.append(Term(term.piece, weight, term.at, term.width))
        pieces.append(whole(form(inner.bias * factor, terms)))
        at += piece.size
    return flat(x.shape, pieces)


def rectified(piece: Piece) -> Form:
    """max(0, .) of a piece of a sum."""
    assert isinstance(piece.value, Form)
    inner = piece.value.cut(piece.first, piece.size)
    return form(inner.bias, inner.terms, relu=True)


def total(parts: Sequence[Sequence[Piece]], width: int) -> Form:
    """The sum of parts of `width` numbers each."""
    bias, terms = torch.zeros(width, dtype=torch.float64), []
    for part in parts:
        at = 0
        for piece in part:
            more, own = _as_terms(piece, at)
            bias[at : at + piece.size] += more
            terms += own
            at += piece.size
    return form(bias, terms)
