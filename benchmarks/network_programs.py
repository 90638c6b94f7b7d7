"""The mixture of experts and the three towers as programs, with the same sums in the same order."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from headrace.kernels import MixtureModel, TowersModel
from headrace.kernels.network import Program, Stage
from headrace.kernels.network.instructions import (
    BINARY,
    HELD,
    Affine,
    Attend,
    Binary,
    Constant,
    Fold,
    Instruction,
    Mix,
    Rows,
    Softmax,
)


class Weights:
    """A flat list of weights that grows."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []
        self.size = 0

    def add(self, tensor: Tensor) -> int:
        place = self.size
        self.parts.append(tensor.flatten())
        self.size += tensor.numel()
        return place

    def joined(self) -> Tensor:
        return torch.cat(self.parts).contiguous()


class Columns:
    """Columns of a stage, taken one run after another."""

    def __init__(self) -> None:
        self.size = 0

    def take(self, width: int) -> int:
        self.size += width
        return self.size - width


def mixture_program(model: MixtureModel, fields: int) -> Program:
    """`model` with the request's inputs and, behind them, its taste; one sequence, the behaviours."""
    s, weights = model.sizes, Weights()
    inputs, width, small = len(model.request_weight), s.width, s.small
    request: list[Instruction] = [Rows(0, inputs, pair=0)] if inputs else []
    request += [
        Affine(inputs, width, 0, inputs, weights.add(model.request_weight), width),
        Rows(inputs + width, s.dim, pair=inputs),
    ]

    wide, embedding, dynamic = s.targets * s.experts, s.targets * s.experts + s.targets, model.dynamic_width
    candidate = weights.add(model.candidate_weight)
    columns = Columns()
    gates, vectors = columns.take(embedding + s.dim), columns.take(s.experts * s.units)
    own = columns.take(s.dim * (1 + s.attention) + dynamic)
    mixed, head, logit, hidden = (columns.take(n) for n in (s.units, s.head_units, 1, s.hidden))
    count = s.dim * (1 + s.attention) + dynamic
    pair: list[Instruction] = [
        Rows(gates, embedding + s.dim, request=0, item=0, codes=0),
        Rows(own, s.dim, request=width),
        Binary(own, s.dim, embedding, own, BINARY.index("multiply"), 1, s.dim),
    ]
    if s.attention:
        scale = weights.add(torch.tensor([s.dim**-0.5], dtype=torch.float64).float())
        pair.append(Attend(own + s.dim, s.dim, embedding, 0, scale))
    if dynamic:
        pair.append(Rows(own + count - dynamic, dynamic, pair=0))
    pair += [Affine(gates, embedding, own, count, candidate, width, HELD), Softmax(gates, s.experts, s.targets)]
    places = [weights.add(w) for w in (model.expert_weight, model.expert_bias)]
    for e in range(s.experts):
        first = small + e * s.hidden
        pair += [
            Rows(hidden, s.hidden, request=first, item=first, codes=first),
            Affine(hidden, s.hidden, own, count, candidate + first, width, HELD, 1),
            Affine(
                *(vectors + e * s.units, s.units, hidden, s.hidden, places[0] + e * s.hidden * s.units, s.units),
                *(places[1] + e * s.units, 1),
            ),
        ]
    heads = [weights.add(w) for w in (model.head_weight, model.head_bias, model.out_weight, model.out_bias)]
    h = s.head_units
    for t in range(s.targets):
        pair += [
            Mix(mixed, s.units, gates + t * s.experts, vectors, s.experts),
            Affine(head, h, mixed, s.units, heads[0] + t * s.units * h, h, heads[1] + t * h, 1),
            Affine(logit, 1, head, h, heads[2] + t * h, 1, heads[3] + t),
            Binary(wide + t, 1, wide + t, logit, BINARY.index("add"), 1, 1),
        ]
    return Program(
        request=Stage(tuple(request), inputs + width + s.dim, inputs, width + s.dim),
        pair=Stage(tuple(pair), columns.size, wide, s.targets),
        weights=weights.joined(),
        item_rows=model.item_rows,
        code_rows=model.code_rows,
        request_inputs=inputs + s.dim,
        pair_inputs=dynamic,
        fields=fields,
        sequences=(s.dim,),
    )


def mixture_call(arguments: dict[str, Tensor]) -> dict[str, Any]:
    """The keyword arguments of a mixture's call as the program takes them."""
    a = arguments
    return {
        "request": torch.cat([a["request"], a["taste"]], 1),
        "sequences": [(a["behaviours"], a["counts"])],
        "pair": a["dynamic"],
        **{name: a[name] for name in ("offsets", "item", "codes")},
    }


def towers_program(model: TowersModel, fields: int) -> Program:
    """`model`, the user's vector folded into the upper network's weights."""
    s, weights = model.sizes, Weights()
    inputs, width, dim, upper = len(model.tower_weight), s.width, s.dim, s.upper_units
    dynamic, units = len(model.dynamic_weight), s.tower_units
    columns = Columns()
    x, hidden, user = (columns.take(n) for n in (inputs, units, dim))
    row, start, folded = (columns.take(n) for n in (width, upper, 2 * dim * upper))
    names = ("tower_weight", "tower_bias", "vector_weight", "vector_bias", "user_weight", "upper_bias")
    tower, tower_bias, vector, vector_bias, user_weight, upper_bias = (weights.add(getattr(model, n)) for n in names)
    whole, linear = weights.add(model.upper_weight), weights.add(model.request_weight)
    request: list[Instruction] = [Rows(x, inputs, pair=0)] if inputs else []
    request += [
        Affine(row, width, x, inputs, linear, width),
        Affine(hidden, units, x, inputs, tower, units, tower_bias, 1),
        Affine(user, dim, hidden, units, vector, dim, vector_bias),
        Affine(start, upper, user, dim, user_weight, upper, upper_bias),
        Fold(folded, upper, user, dim, whole, whole + 2 * dim * upper, upper),
        Constant(folded + dim * upper, dim * upper, whole + dim * upper),
    ]
    out = columns.size
    columns = Columns()
    vectors, own, hidden = (columns.take(n) for n in (2 * dim + s.targets, dynamic, upper))
    cross, wide = vectors + dim, vectors + 2 * dim
    changes, last = weights.add(model.dynamic_weight), weights.add(model.last_weight)
    pair: list[Instruction] = [Rows(vectors, 2 * dim + s.targets, request=0, item=0, codes=0)]
    pair += [Rows(own, dynamic, pair=0)] if dynamic else []
    pair += [
        Affine(cross, dim, own, dynamic, changes + dim, width, HELD, 1),
        Affine(wide, s.targets, own, dynamic, changes + 2 * dim, width, HELD),
        Rows(hidden, upper, request=start - row),
        Affine(hidden, upper, vectors, 2 * dim, folded - row, upper, HELD, 1, 1),
        Affine(wide, s.targets, hidden, upper, last, s.targets, HELD),
    ]
    return Program(
        request=Stage(tuple(request), out, row, out - row),
        pair=Stage(tuple(pair), columns.size, wide, s.targets),
        weights=weights.joined(),
        item_rows=model.item_rows,
        code_rows=model.code_rows,
        request_inputs=inputs,
        pair_inputs=dynamic,
        fields=fields,
    )


def towers_call(arguments: dict[str, Tensor]) -> dict[str, Any]:
    renamed = {name: tensor for name, tensor in arguments.items() if name != "dynamic"}
    return {**renamed, "pair": arguments["dynamic"]}
