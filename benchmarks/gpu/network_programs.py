"""Programs made by hand for the checks of network: a mixture of experts, three towers, and one of every instruction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from headrace.benchmarks.gpu.site import Site
from headrace.kernels.network import Program, Stage
from headrace.kernels.network import instructions as ins

MULTIPLY = ins.BINARY.index("multiply")


@dataclass
class Weights:
    """Matrices by name, and where each is in a program's flat list. They shrink with their inputs, so that sums keep
    their size."""

    site: Site
    named: dict[str, Tensor] = field(default_factory=dict)
    size: int = 0

    def add(self, name: str, *shape: int) -> int:
        inputs = shape[-2] if len(shape) > 1 else 1
        return self.put(name, self.site.normal(*shape, seed=100 + len(self.named)) * max(inputs, 1) ** -0.5)

    def put(self, name: str, values: Tensor) -> int:
        self.named[name] = values
        self.size += values.numel()
        return self.size - values.numel()

    def flat(self) -> Tensor:
        return torch.cat([values.flatten() for values in self.named.values()])


class Draft:
    """A stage in the making: each step fills columns behind all others."""

    def __init__(self) -> None:
        self.code: list[ins.Instruction] = []
        self.columns = 0

    def take(self, width: int) -> int:
        self.columns += width
        return self.columns - width

    def add(self, kind: Any, width: int, *fields: int, count: int | None = None, **named: int) -> int:
        """The first of the `count` columns (None: `width`) that the step fills."""
        out = self.take(width if count is None else count)
        self.code.append(kind(out, width, *fields, **named))
        return out

    def change(self, step: ins.Instruction) -> None:
        self.code.append(step)

    def stage(self, out: int, width: int) -> Stage:
        return Stage(tuple(self.code), self.columns, out, width)


@dataclass(frozen=True)
class Sizes:
    """targets, experts: T, E. hidden, units, head: outputs of an expert's layers and of a head's. dim: of an item's
    vector. request, dynamic: inputs of a request and of a candidate."""

    targets: int
    experts: int
    hidden: int
    units: int
    head: int
    dim: int
    request: int
    dynamic: int
    items: int
    codes: int = 24

    @property
    def first(self) -> int:
        """Outputs of a mixture's first layer: gates, linear path, hidden layers."""
        return self.targets * self.experts + self.targets + self.experts * self.hidden


def mixture(site: Site, s: Sizes) -> tuple[Program, dict[str, Tensor]]:
    """A mixture of experts that attends to a sequence, and its weights by name."""
    w, first, request, pair = Weights(site), s.first, Draft(), Draft()
    x = request.add(ins.Rows, s.request, pair=0)
    row = request.add(ins.Affine, first, x, s.request, w.add("request", s.request, first), first)
    request.add(ins.Rows, s.dim, pair=s.request)

    gates = pair.add(ins.Rows, first, request=0, item=0, codes=0)
    linear, hidden = gates + s.targets * s.experts, gates + s.targets * s.experts + s.targets
    query = pair.add(ins.Rows, s.dim, item=first)
    own = pair.add(ins.Rows, s.dim, request=first)
    pair.change(ins.Binary(own, s.dim, own, query, MULTIPLY, 1, s.dim))
    pair.add(ins.Attend, s.dim, query, 0, w.put("scale", torch.full((1,), s.dim**-0.5, device=site.device)))
    pair.add(ins.Rows, s.dynamic, pair=0)
    inputs = 2 * s.dim + s.dynamic
    pair.change(ins.Affine(gates, first, own, inputs, w.add("candidate", inputs, first), first, ins.HELD))
    pair.change(ins.Softmax(gates, s.experts, s.targets))
    pair.change(ins.Unary(hidden, s.experts * s.hidden, hidden, ins.UNARY.index("relu")))
    expert, bias = w.add("expert", s.experts, s.hidden, s.units), w.add("expert bias", s.experts, s.units)
    vectors = pair.take(s.experts * s.units)
    for e in range(s.experts):
        places = (expert + e * s.hidden * s.units, s.units, bias + e * s.units, 1)
        pair.change(ins.Affine(vectors + e * s.units, s.units, hidden + e * s.hidden, s.hidden, *places))
    heads, last = w.add("head", s.targets, s.units, s.head), w.add("last", s.targets, s.head, 1)
    mixed, head = pair.take(s.units), pair.take(s.head)
    for t in range(s.targets):
        pair.change(ins.Mix(mixed, s.units, gates + t * s.experts, vectors, s.experts))
        pair.change(ins.Affine(head, s.head, mixed, s.units, heads + t * s.units * s.head, s.head, relu=1))
        pair.change(ins.Affine(linear + t, 1, head, s.head, last + t * s.head, 1, ins.HELD))
    tables = site.normal(s.items, first + s.dim, seed=1), site.normal(s.codes, first, seed=2)
    stages = request.stage(row, first + s.dim), pair.stage(linear, s.targets)
    return Program(*stages, w.flat(), *tables, s.request + s.dim, s.dynamic, 1, (s.dim,)), w.named


def towers(site: Site, s: Sizes) -> tuple[Program, dict[str, Tensor]]:
    """Three towers, the user's vector folded into the upper network's weights; and the weights by name."""
    w, request, pair = Weights(site), Draft(), Draft()
    x = request.add(ins.Rows, s.request, pair=0)
    hidden = request.add(ins.Affine, s.hidden, x, s.request, w.add("tower", s.request, s.hidden), s.hidden, relu=1)
    user = request.add(ins.Affine, s.dim, hidden, s.hidden, w.add("user", s.hidden, s.dim), s.dim)
    start = request.add(ins.Affine, s.units, user, s.dim, w.add("start", s.dim, s.units), s.units)
    plain, times = w.add("vector", s.dim, s.units), w.add("product", s.dim, s.units)
    request.add(ins.Fold, s.units, user, s.dim, plain, times, s.units, count=s.dim * s.units)

    vector = pair.add(ins.Rows, s.dim, item=0)
    cross = pair.add(ins.Rows, s.dim, item=s.dim, codes=0)
    own = pair.add(ins.Rows, s.dynamic, pair=0)
    changes = w.add("dynamic", s.dynamic, s.dim)
    pair.change(ins.Affine(cross, s.dim, own, s.dynamic, changes, s.dim, ins.HELD, 1))
    upper = pair.add(ins.Rows, s.units, request=0)
    crossed = w.add("cross", s.dim, s.units)
    pair.change(ins.Affine(upper, s.units, cross, s.dim, crossed, s.units, ins.HELD))
    pair.change(ins.Affine(upper, s.units, vector, s.dim, s.units, s.units, ins.HELD, 1, 1))
    out = pair.add(ins.Affine, s.targets, upper, s.units, w.add("last", s.units, s.targets), s.targets)
    tables = site.normal(s.items, 2 * s.dim, seed=1), site.normal(s.codes, s.dim, seed=2)
    stages = request.stage(start, s.units * (1 + s.dim)), pair.stage(out, s.targets)
    return Program(*stages, w.flat(), *tables, s.request, s.dynamic, 1), w.named


def every_instruction(site: Site) -> Program:
    """Each instruction, of every kind, in each stage that may have it; all columns of the pair stage are the result."""
    w, request, pair = Weights(site), Draft(), Draft()
    x = request.add(ins.Rows, 5, pair=1)
    folds = w.add("fold", 5, 20), w.add("times", 5, 20)
    folded = request.add(ins.Fold, 18, x, 5, *folds, 20, count=90)
    _shared(w, request)
    pair.add(ins.Rows, 19, 2, 3, 1, ins.NONE)
    v = pair.add(ins.Rows, 7, 1, ins.NONE, 4, 2)
    pair.add(ins.Affine, 18, v, 5, folded, 18, w.add("start", 18), 1, 1)
    pair.add(ins.Affine, 3, v, 4, folded + 2, 21, ins.NONE, 0, 1)
    _shared(w, pair)
    stages = request.stage(0, request.columns), pair.stage(0, pair.columns)
    tables = site.normal(50, 23, seed=1), site.normal(7, 21, seed=2)
    return Program(*stages, w.flat(), *tables, 11, 9, 3, (5, 3))


def _shared(w: Weights, d: Draft) -> None:
    """The instructions of both stages."""

    def weight(*shape: int) -> int:
        return w.add(f"weight {len(w.named)}", *shape)

    x, y = d.add(ins.Rows, 6, pair=0), d.add(ins.Rows, 6, pair=3)
    for kind in range(len(ins.UNARY)):
        d.add(ins.Unary, 6, x, kind, weight(1))
    for kind in range(len(ins.BINARY)):
        d.add(ins.Binary, 6, x, y, kind, 1, 6)
        d.add(ins.Binary, 6, x, y, kind, 4, 2)
    h = d.add(ins.Affine, 67, x, 6, weight(6, 69), 69, weight(67), 1)
    z = d.add(ins.Affine, 33, h, 67, weight(67, 33), 33)
    d.change(ins.Affine(z, 17, y, 6, weight(6, 17), 17, ins.HELD))
    d.add(ins.Affine, 3, z, 0, 0, 3, weight(3))
    d.add(ins.Constant, 37, weight(37))
    gates = d.add(ins.Affine, 15, x, 6, weight(6, 15), 15)
    d.change(ins.Softmax(gates, 5, 3))
    d.add(ins.Mix, 6, gates, h, 5)
    for number, width in enumerate((5, 3)):
        d.add(ins.Attend, width, z, number, weight(1))
        d.add(ins.Mean, width, number)
    d.add(ins.FM, 4, z, 8)
    for fields, width in ((5, 6), (1, 7), (19, 1)):
        d.add(ins.Pairs, width, z, h, fields, 0, count=fields * (fields - 1) // 2 * width)
        d.add(ins.Pairs, width, z, h, fields, 1, count=fields * (fields - 1) // 2)
    d.add(ins.SelfAttend, 6, z, h, h + 20, 5, 2, weight(1), count=30)
    for kind, count in enumerate((9, 7)):
        d.add(ins.Reduce, 7, h, 9, kind, count=count)
    epsilon = w.put("epsilon " + str(len(w.named)), torch.full((1,), 0.3, device=w.site.device))
    d.add(ins.Normalise, 11, z, 3, epsilon, count=33)
    d.change(ins.Normalise(z, 3, z, 11, epsilon))
