"""What each module and function of torch, and each block, is in values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from headrace.models import blocks
from headrace.models.lower import forms, steps
from headrace.models.lower.graph import CannotLower, Flat, cut, of_values


def _binary(kind: str) -> Callable[..., Flat]:
    def run(a: Any, b: Any, alpha: float = 1) -> Flat:
        if alpha != 1:
            raise CannotLower("expected alpha 1")
        one = a if isinstance(a, Flat) else b
        if not isinstance(a, Flat) and kind == "subtract":
            return steps.binary("add", steps.scale(b, -1.0), _constant(a, one))
        if isinstance(a, Flat) and isinstance(b, Flat):
            return steps.binary(kind, a, b)
        other = b if one is a else a
        if kind == "multiply" and isinstance(other, (int, float)):
            return steps.scale(one, float(other))
        return steps.binary(kind, one, _constant(other, one))

    return run


def _constant(value: Any, beside: Flat) -> Flat:
    """A number or a tensor of no candidate's own."""
    tensor = value if isinstance(value, Tensor) else torch.tensor(float(value), dtype=torch.float64)
    if tensor.dim() == len(beside.shape) + 1:
        if len(tensor) != 1:
            raise CannotLower(f"expected 1 row of the tensor, got {len(tensor)}")
        tensor = tensor[0]
    return steps.constant(tensor)


def _divided(a: Any, b: Any) -> Flat:
    if not isinstance(a, Flat) or not isinstance(b, (int, float)):
        raise CannotLower("expected a division by a number")
    return steps.scale(a, 1 / b)


def _power(a: Flat, exponent: Any) -> Flat:
    if exponent != 2:
        raise CannotLower(f"expected the exponent 2, got {exponent}")
    return steps.unary("square", a)


def _softmax(x: Flat, dim: int = -1, **_: object) -> Flat:
    if dim not in (-1, len(x.shape)):
        raise CannotLower(f"expected softmax over the last dimension, got {dim}")
    return steps.softmax(x)


def _summed(mean: bool) -> Callable[..., Flat]:
    def run(x: Flat, dim: Any = None, keepdim: bool = False) -> Flat:
        place = dim[0] if isinstance(dim, (list, tuple)) and len(dim) == 1 else dim
        if place not in (-1, len(x.shape), 1):
            raise CannotLower(f"expected a sum over the last dimension or the first after the candidates, got {dim}")
        last = place != 1 or len(x.shape) == 1
        made = steps.sum_within(x) if last else steps.sum_across(x)
        if keepdim:
            made = Flat((*x.shape[:-1], 1) if last else (1, *x.shape[1:]), made.pieces)
        return steps.scale(made, 1 / x.shape[-1 if last else 0]) if mean else made

    return run


def _linear(module: nn.Linear, x: Flat) -> Flat:
    weight = module.weight.detach().double().T
    bias = None if module.bias is None else module.bias.detach().double()
    groups, width = x.total // max(len(weight), 1) if len(weight) else 1, len(weight)
    values = [forms.linear(cut(x.pieces, g * width, width), weight, bias) for g in range(groups)]
    return of_values((*x.shape[:-1], weight.shape[1]), values)


def _grouped(module: blocks.GroupedLinear, x: Flat) -> Flat:
    groups, width, out = module.weight.shape
    if x.shape != (groups, width):
        raise CannotLower(f"expected [n, {groups}, {width}], got [n, {', '.join(map(str, x.shape))}]")
    weight = module.weight.detach().double()
    bias = None if module.bias is None else module.bias.detach().double()[:, 0]
    parts = [cut(x.pieces, g * width, width) for g in range(groups)]
    values = [forms.linear(p, weight[g], None if bias is None else bias[g]) for g, p in enumerate(parts)]
    return of_values((groups, out), values)


def _normalised(module: nn.LayerNorm, x: Flat) -> Flat:
    if len(module.normalized_shape) != 1:
        raise CannotLower("expected a layer norm over the last dimension")
    made = steps.normalise(x, module.eps)
    if module.weight is not None:
        made = steps.binary("multiply", made, steps.constant(module.weight))
    return made if module.bias is None else steps.binary("add", made, steps.constant(module.bias))


def _batch_norm(module: nn.BatchNorm1d, x: Flat) -> Flat:
    if module.running_mean is None or module.running_var is None or len(x.shape) != 1:
        raise CannotLower("expected a batch norm of [n, width] with running statistics")
    factor = (module.running_var.double() + module.eps).rsqrt()
    factor = factor if module.weight is None else factor * module.weight.detach().double()
    shift = -module.running_mean.double() * factor
    shift = shift if module.bias is None else shift + module.bias.detach().double()
    return steps.binary("add", steps.binary("multiply", x, steps.constant(factor)), steps.constant(shift))


MODULES: dict[type[nn.Module], Callable[[Any, Flat], Any]] = {
    nn.Linear: _linear,
    blocks.GroupedLinear: _grouped,
    nn.LayerNorm: _normalised,
    nn.BatchNorm1d: _batch_norm,
    nn.Dropout: lambda _, x: x,
    nn.Identity: lambda _, x: x,
    nn.ReLU: lambda _, x: steps.unary("relu", x),
    nn.Sigmoid: lambda _, x: steps.unary("sigmoid", x),
    nn.Tanh: lambda _, x: steps.unary("tanh", x),
    nn.Softmax: lambda module, x: _softmax(x, module.dim),
    nn.Flatten: lambda module, x: steps.rearranged(module, x),
    nn.Unflatten: lambda module, x: steps.rearranged(module, x),
}
BLOCKS: dict[Any, Callable[..., Flat]] = {
    blocks.mix: steps.mix,
    blocks.fm: steps.fm,
    blocks.pairs: steps.pairs,
    blocks.self_attend: steps.self_attend,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "relu": lambda x, inplace=False: steps.unary("relu", x),
    "sigmoid": lambda x: steps.unary("sigmoid", x),
    "tanh": lambda x: steps.unary("tanh", x),
    "square": lambda x: steps.unary("square", x),
    "neg": lambda x: steps.scale(x, -1.0),
    "pow": _power,
    "softmax": _softmax,
    "add": _binary("add"),
    "sub": _binary("subtract"),
    "mul": _binary("multiply"),
    "maximum": _binary("maximum"),
    "truediv": _divided,
    "div": _divided,
    "sum": _summed(False),
    "mean": _summed(True),
    "dropout": lambda x, p=0.5, training=False, inplace=False: x,
}
#: Functions and methods that only move numbers, or say where they lie.
REARRANGING = frozenset(
    (
        *("getitem", "getattr", "size", "dim", "flatten", "unflatten", "reshape", "view", "squeeze", "unsqueeze"),
        *("transpose", "permute", "movedim", "chunk", "split", "narrow", "select", "unbind", "contiguous"),
        *("cat", "concat", "stack", "expand", "repeat"),
    )
)
