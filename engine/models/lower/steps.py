"""Element-by-element operations, products of fields, attention: each as instructions, one for each run of a stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from headrace.kernels.network import instructions as ins
from headrace.models.lower import forms
from headrace.models.lower.graph import (
    CONSTANT,
    CannotLower,
    Constant,
    Flat,
    Form,
    Keep,
    Lookup,
    Piece,
    Step,
    Value,
    cut,
    flat,
    of_values,
    select,
    stage_runs,
    stages_of,
    step,
)


def constant(values: Tensor) -> Flat:
    """A tensor that depends on nothing."""
    numbers = values.detach().double().flatten()
    return of_values(values.shape, [Constant(CONSTANT, len(numbers), numbers)] if len(numbers) else [])


def unary(kind: str, x: Flat, factor: float = 1.0) -> Flat:
    values: list[Value] = []
    for first, count in stage_runs(stages_of(x.pieces)):
        part = cut(x.pieces, first, count)
        if kind == "relu" and all(forms.is_sum(piece.value) for piece in part):
            values += [forms.rectified(piece) for piece in part]
        else:
            values.append(_unary(kind, part, factor))
    return of_values(x.shape, values)


def _unary(kind: str, a: Sequence[Piece], factor: float) -> Step:
    width, code = sum(piece.size for piece in a), ins.UNARY.index(kind)
    kept = torch.tensor([factor], dtype=torch.float64)

    def build(out: int, at: Sequence[int], keep: Keep) -> ins.Unary:
        return ins.Unary(out, width, at[0], code, keep(kept) if kind == "scale" else 0)

    return step(width, [a], build, cut=lambda first, size: _unary(kind, cut(a, first, size), factor), over=(0,))


def scale(x: Flat, factor: float) -> Flat:
    if not x.shared and (done := forms.scaled(x, torch.full((x.total,), factor, dtype=torch.float64))):
        return done
    return x if factor == 1 else unary("scale", x, factor)


def binary(kind: str, x: Flat, y: Flat) -> Flat:
    """x op y, broadcast."""
    shape = torch.broadcast_shapes(x.shape, y.shape)
    if kind == "subtract" and x.shape != shape:
        return binary("add", scale(y, -1.0), x)
    if y.shape == shape and (x.shape != shape or (kind != "subtract" and _known(x))):
        x, y = y, x
    index = [side.index().expand(shape).flatten() for side in (x, y)]
    if x.shape != shape:
        x = flat(shape, select(x.pieces, index[0]))
    if (done := _as_sum(kind, x, y, index[1])) is not None:
        return done
    stages = stages_of(x.pieces) | stages_of(y.pieces)[index[1]]
    values = []
    for first, count in stage_runs(stages):
        values.append(_binary(kind, cut(x.pieces, first, count), y.pieces, index[1][first : first + count]))
    return of_values(shape, values)


def _binary(kind: str, a: Sequence[Piece], others: Sequence[Piece], index: Tensor) -> Step:
    """a op the numbers of `others` at `index`."""
    width, code = len(index), ins.BINARY.index(kind)
    b, group, period = _repeated(others, index)

    def build(out: int, at: Sequence[int], keep: Keep) -> ins.Binary:
        return ins.Binary(out, width, at[0], at[1], code, group, period)

    def part(first: int, size: int) -> Step:
        return _binary(kind, cut(a, first, size), others, index[first : first + size])

    plain = (group, period) == (1, width)
    return step(width, [a, b], build, product=plain and kind == "multiply", cut=part, over=(0, 1) if plain else (0,))


def _as_sum(kind: str, x: Flat, y: Flat, index: Tensor) -> Flat | None:
    """x op y as forms, where that saves an instruction."""
    free = any(not side.shared and all(forms.is_sum(p.value) for p in side.pieces) for side in (x, y))
    if kind == "multiply" and _known(y) and not x.shared:
        values = torch.cat([p.value.values[p.first : p.first + p.size] for p in y.pieces])  # type: ignore[attr-defined]
        return forms.scaled(x, values[index])
    if kind in ("add", "subtract") and free:
        y = flat(x.shape, select(y.pieces, index))
        return forms.add(x, y if kind == "add" else scale(y, -1.0))
    return None


def _known(x: Flat) -> bool:
    return all(isinstance(piece.value, Constant) for piece in x.pieces)


def _repeated(pieces: Sequence[Piece], index: Tensor) -> tuple[list[Piece], int, int]:
    """The numbers at `index`, as a run that `Binary` repeats: (run, group, period)."""
    relative, each = index - index[0], torch.arange(len(index))
    group = int((relative.cumsum(0) == 0).sum())
    period = int(relative.max()) + 1
    if torch.equal(relative, each // group % period):
        return cut(pieces, int(index[0]), period), group, period
    return select(pieces, index), 1, len(index)


def softmax(x: Flat) -> Flat:
    """Over the last dimension."""
    width = x.shape[-1]
    values = []
    for parts in _groups_by_stage(x, width):
        groups = sum(piece.size for piece in parts) // width

        def build(out: int, at: Sequence[int], keep: Keep, groups: int = groups) -> ins.Softmax:
            return ins.Softmax(out, width, groups)

        values.append(step(groups * width, [parts], build, in_place=True))
    return of_values(x.shape, values)


def normalise(x: Flat, epsilon: float) -> Flat:
    """Layer norm over the last dimension, without its scale."""
    width = x.shape[-1]
    values = []
    for parts in _groups_by_stage(x, width):
        groups = sum(piece.size for piece in parts) // width

        def build(out: int, at: Sequence[int], keep: Keep, groups: int = groups) -> ins.Normalise:
            return ins.Normalise(out, width, at[0], groups, keep(torch.tensor([epsilon], dtype=torch.float64)))

        values.append(step(groups * width, [parts], build))
    return of_values(x.shape, values)


def _groups_by_stage(x: Flat, width: int) -> list[list[Piece]]:
    """The groups of `width` numbers of x, neighbours of one stage together."""
    stages = stages_of(x.pieces).reshape(-1, width)
    joint = stages[:, 0].clone()
    for column in stages.T:
        joint |= column
    return [cut(x.pieces, first * width, count * width) for first, count in stage_runs(joint)]


def sum_within(x: Flat) -> Flat:
    """Over the last dimension."""
    width = x.shape[-1]
    values: list[Value] = []
    for parts in _groups_by_stage(x, width):
        groups = sum(piece.size for piece in parts) // width
        if any(isinstance(piece.value, (Form, Lookup)) for piece in parts):
            ones = torch.ones(width, 1, dtype=torch.float64)
            values += [forms.linear(cut(parts, g * width, width), ones, None) for g in range(groups)]
            continue

        def build(out: int, at: Sequence[int], keep: Keep, groups: int = groups) -> ins.Reduce:
            return ins.Reduce(out, width, at[0], groups, ins.REDUCE.index("within"))

        values.append(step(groups, [parts], build))
    return of_values(x.shape[:-1], values)


def sum_across(x: Flat) -> Flat:
    """[n, F, ...]: over the fields."""
    width = x.total // x.shape[0]
    return of_values(x.shape[1:], [forms.total([cut(x.pieces, f * width, width) for f in range(x.shape[0])], width)])


def mix(gates: Flat, vectors: Flat) -> Flat:
    (targets, experts), width = gates.shape, vectors.shape[1]
    values = []
    for target in range(targets):
        own = cut(gates.pieces, target * experts, experts)

        def build(out: int, at: Sequence[int], keep: Keep) -> ins.Mix:
            return ins.Mix(out, width, at[0], at[1], experts)

        values.append(step(width, [own, vectors.pieces], build))
    return of_values((targets, width), values)


def fm(x: Flat) -> Flat:
    fields, width = x.shape

    def build(out: int, at: Sequence[int], keep: Keep) -> ins.FM:
        return ins.FM(out, width, at[0], fields)

    return of_values((width,), [step(width, [x.pieces], build)])


def pairs(a: Flat, b: Flat, inner: bool = False) -> Flat:
    """Products of one stage in one go; of several, each where it belongs, so that a request's own are made once."""
    fields, width = b.shape
    count = fields * (fields - 1) // 2
    shape = (count,) if inner else (count, width)
    stages = stages_of([*a.pieces, *b.pieces])
    if a.shape == b.shape and count and bool((stages == stages[0]).all()):
        kind = ins.PAIRS.index("inner" if inner else "product")

        def build(out: int, at: Sequence[int], keep: Keep) -> ins.Pairs:
            return ins.Pairs(out, width, at[0], at[1], fields, kind)

        return of_values(shape, [step(count if inner else count * width, [a.pieces, b.pieces], build)])
    rows = []
    for f in range(fields - 1):
        others = flat((fields - 1 - f, width), cut(b.pieces, (f + 1) * width, (fields - 1 - f) * width))
        rows.append(binary("multiply", others, flat((1, width), cut(a.pieces, f * width, width))))
    products = flat((count, width), [piece for row in rows for piece in row.pieces])
    return sum_within(products) if inner else products


def self_attend(q: Flat, k: Flat, v: Flat, heads: int = 1) -> Flat:
    fields, width = q.shape
    factor = torch.tensor([(width // heads) ** -0.5], dtype=torch.float64)

    def build(out: int, at: Sequence[int], keep: Keep) -> ins.SelfAttend:
        return ins.SelfAttend(out, width, at[0], at[1], at[2], fields, heads, keep(factor))

    return of_values(q.shape, [step(fields * width, [q.pieces, k.pieces, v.pieces], build)])


def rearranged(run: Callable[..., Tensor | Sequence[Tensor]], *sources: Flat) -> Flat | list[Flat]:
    """What a function of tensors that only moves numbers makes of `sources`.

    run: takes int64 tensors [2, *shape], the place of each number for two candidates.
    """
    pieces = [piece for source in sources for piece in source.pieces]
    size, start, indices = sum(source.total for source in sources), 0, []
    for source in sources:
        index = source.index(start)
        indices.append(torch.stack([index, index + size]))
        start += source.total
    result = run(*indices)

    def taken(index: Tensor) -> Flat:
        if index.dim() < 1 or len(index) != 2 or not torch.equal(index[0] + size, index[1]) or (index[0] >= size).any():
            raise CannotLower("expected the candidates in the first dimension throughout")
        return flat(index.shape[1:], select(pieces, index[0].flatten()))

    return taken(result) if isinstance(result, Tensor) else [taken(index) for index in result]
