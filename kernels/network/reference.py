"""The definition of a network program: an interpreter in float64, one instruction after another over all rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from headrace.kernels.checks import check_finite, check_indices, check_offsets
from headrace.kernels.network import instructions as ins
from headrace.kernels.network.program import decoded


@dataclass(frozen=True)
class Sources:
    """What the rows of a stage can read, float64: weights [W], inputs [m, D] of their own, and, in the pair stage, the
    rows of their request, item and codes, [m, ...] each. sequences: (entries [m, N, d], counts int [m]) each. rounded:
    whether `Affine` multiplies in bfloat16."""

    weights: Tensor
    inputs: Tensor
    request: Tensor | None = None
    item: Tensor | None = None
    codes: Tensor | None = None
    sequences: Sequence[tuple[Tensor, Tensor]] = ()
    rounded: bool = False


def network(
    tensors: list[Tensor],
    numbers: list[int],
    request: Tensor,
    sequences: list[Tensor],
    counts: list[Tensor],
    offsets: Tensor,
    item: Tensor,
    codes: Tensor,
    pair: Tensor,
    threads: int,
) -> Tensor:
    weights, item_rows, code_rows, request_code, pair_code = tensors[:5]
    check_offsets("offsets", offsets, len(item))
    check_indices("item", item, len(item_rows))
    check_indices("codes", codes, len(code_rows))
    for values, count in zip(sequences, counts, strict=True):
        check_indices("counts", count, values.shape[1] + 1)
        check_finite("sequences", values)
    check_finite("request", request)
    check_finite("pair", pair)
    lists = [(values.double(), count) for values, count in zip(sequences, counts, strict=True)]
    doubles = weights.double()
    columns, out, width = numbers[:3]
    rows = run(decoded(request_code), columns, out, width, Sources(doubles, request.double(), sequences=lists))
    owner = torch.repeat_interleave(offsets.diff())
    sources = Sources(
        doubles,
        pair.double(),
        rows[owner],
        item_rows[item].double(),
        code_rows[codes].double().sum(1),
        [(values[owner], count[owner]) for values, count in lists],
        rounded=bool(numbers[9]),
    )
    columns, out, width = numbers[3:6]
    return run(decoded(pair_code), columns, out, width, sources).float().T.contiguous()


def run(code: Sequence[ins.Instruction], columns: int, out: int, width: int, sources: Sources) -> Tensor:
    """float64 [m, width]: the result of a stage over the m rows of `sources`."""
    held = torch.full((len(sources.inputs), columns), torch.nan, dtype=torch.float64, device=sources.inputs.device)
    for step in code:
        _STEPS[type(step)](step, held, sources)
    return held[:, out : out + width]


def _part(held: Tensor, first: int, *shape: int) -> Tensor:
    """The columns from `first` on as [m, *shape]."""
    count = 1
    for size in shape:
        count *= size
    return held[:, first : first + count].reshape(len(held), *shape)


def _put(held: Tensor, first: int, values: Tensor) -> None:
    flat = values.flatten(1)
    held[:, first : first + flat.shape[1]] = flat


def _bfloat16(values: Tensor) -> Tensor:
    """float64, to the nearest bfloat16 of the nearest float32."""
    return values.float().bfloat16().double()


def _matrix(weights: Tensor, place: int, rows: int, stride: int, width: int) -> Tensor:
    """[rows, width], or [m, rows, width] of the weights [m, ...] of each row."""
    at = torch.arange(rows, device=weights.device)[:, None] * stride
    return weights[..., place + at + torch.arange(width, device=weights.device)]


def _rows(step: Any, held: Tensor, sources: Sources) -> None:
    total = held.new_zeros(len(held), step.width)
    for name, values in {
        "request": sources.request,
        "item": sources.item,
        "codes": sources.codes,
        "pair": sources.inputs,
    }.items():
        first = getattr(step, name)
        if first >= 0 and values is not None:
            total = total + values[:, first : first + step.width]
    _put(held, step.out, total)


def _affine(step: Any, held: Tensor, sources: Sources) -> None:
    x = _part(held, step.x, step.inputs)
    source = sources.request if step.own else sources.weights
    assert source is not None
    weight = _matrix(source, step.weight, step.inputs, step.stride, step.width)
    if sources.rounded and not step.own:
        x, weight = _bfloat16(x), _bfloat16(weight)
    total = torch.einsum("mi,mio->mo", x, weight) if step.own else x @ weight
    if step.start == ins.HELD:
        total = total + _part(held, step.out, step.width)
    elif step.start >= 0:
        total = total + sources.weights[step.start : step.start + step.width]
    _put(held, step.out, total.relu() if step.relu else total)


def _fold(step: Any, held: Tensor, sources: Sources) -> None:
    size = (step.inputs, step.stride, step.width)
    plain, times = (_matrix(sources.weights, place, *size) for place in (step.weight, step.times))
    _put(held, step.out, plain + _part(held, step.x, step.inputs, 1) * times)


def _constant(step: Any, held: Tensor, sources: Sources) -> None:
    held[:, step.out : step.out + step.width] = sources.weights[step.weight : step.weight + step.width]


def _unary(step: Any, held: Tensor, sources: Sources) -> None:
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "copy": torch.clone,
        "relu": torch.relu,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "square": torch.square,
        "scale": lambda x: x * sources.weights[step.weight],
    }
    _put(held, step.out, functions[ins.UNARY[step.kind]](_part(held, step.a, step.width)))


def _binary(step: Any, held: Tensor, sources: Sources) -> None:
    functions: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "add": torch.add,
        "subtract": torch.sub,
        "multiply": torch.mul,
        "maximum": torch.maximum,
    }
    at = torch.arange(step.width, device=held.device) // step.group % step.period
    b = held[:, step.b + at]
    _put(held, step.out, functions[ins.BINARY[step.kind]](_part(held, step.a, step.width), b))


def _softmax(step: Any, held: Tensor, sources: Sources) -> None:
    _put(held, step.out, _part(held, step.out, step.groups, step.width).softmax(2))


def _mix(step: Any, held: Tensor, sources: Sources) -> None:
    gates = _part(held, step.gates, step.experts)
    vectors = _part(held, step.vectors, step.experts, step.width)
    _put(held, step.out, torch.einsum("me,meh->mh", gates, vectors))


def _attend(step: Any, held: Tensor, sources: Sources) -> None:
    entries, counts = sources.sequences[step.sequence]
    present = torch.arange(entries.shape[1], device=counts.device) < counts[:, None]
    query = _part(held, step.query, step.width)
    logits = torch.einsum("mnd,md->mn", entries, query) * sources.weights[step.scale]
    weight = logits.masked_fill(~present, -torch.inf).softmax(1).masked_fill(~present, 0)
    _put(held, step.out, torch.einsum("mn,mnd->md", weight, entries))


def _mean(step: Any, held: Tensor, sources: Sources) -> None:
    entries, counts = sources.sequences[step.sequence]
    present = torch.arange(entries.shape[1], device=counts.device) < counts[:, None]
    total = (entries * present[:, :, None]).sum(1)
    _put(held, step.out, total / counts.clamp_min(1)[:, None])


def _fm(step: Any, held: Tensor, sources: Sources) -> None:
    vectors = _part(held, step.a, step.fields, step.width)
    _put(held, step.out, (vectors.sum(1).square() - vectors.square().sum(1)) / 2)


def _pairs(step: Any, held: Tensor, sources: Sources) -> None:
    a, b = (_part(held, place, step.fields, step.width) for place in (step.a, step.b))
    first, second = torch.triu_indices(step.fields, step.fields, 1, device=held.device)
    product = a[:, first] * b[:, second]
    _put(held, step.out, product.sum(2) if ins.PAIRS[step.kind] == "inner" else product)


def _self_attend(step: Any, held: Tensor, sources: Sources) -> None:
    shape = (step.fields, step.heads, step.width // step.heads)
    q, k, v = (_part(held, place, *shape).transpose(1, 2) for place in (step.q, step.k, step.v))
    weight = (q @ k.transpose(2, 3) * sources.weights[step.scale]).softmax(3)
    _put(held, step.out, (weight @ v).transpose(1, 2))


def _reduce(step: Any, held: Tensor, sources: Sources) -> None:
    values = _part(held, step.a, step.groups, step.width)
    _put(held, step.out, values.sum(2 if ins.REDUCE[step.kind] == "within" else 1))


def _normalise(step: Any, held: Tensor, sources: Sources) -> None:
    values = _part(held, step.a, step.groups, step.width)
    centred = values - values.mean(2, keepdim=True)
    variance = centred.square().mean(2, keepdim=True)
    _put(held, step.out, centred / (variance + sources.weights[step.epsilon]).sqrt())


_STEPS: dict[type[ins.Instruction], Callable[[Any, Tensor, Sources], None]] = {
    ins.Rows: _rows,
    ins.Affine: _affine,
    ins.Fold: _fold,
    ins.Constant: _constant,
    ins.Unary: _unary,
    ins.Binary: _binary,
    ins.Softmax: _softmax,
    ins.Mix: _mix,
    ins.Attend: _attend,
    ins.Mean: _mean,
    ins.FM: _fm,
    ins.Pairs: _pairs,
    ins.SelfAttend: _self_attend,
    ins.Reduce: _reduce,
    ins.Normalise: _normalise,
}
