"""The instructions of a network program: what each reads, what it writes and what it means.

A stage of a program runs over rows: requests, or candidates. Each row has its own columns of numbers, which the
instructions fill one after another. A place (`out`, `x`, `a`, ...) is the first of a run of columns; `weight`, `start`
and the like are places in the program's flat list of weights. Every sum runs over its terms in order, from its start,
with fused multiply-adds.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import ClassVar

#: Numbers of an encoded instruction: its code and its fields, filled up with zeros.
ENCODED = 12
#: A source that `Rows` does not have; a start at zero.
NONE = -1
#: `Affine` starts at what its columns hold.
HELD = -2
#: Largest field of an instruction: no product of two of them overflows.
MAX_FIELD = 1 << 30

#: Kinds of `Unary`, `Binary`, `Reduce` and `Pairs`, by their number.
UNARY = ("copy", "relu", "sigmoid", "tanh", "square", "scale")
BINARY = ("add", "subtract", "multiply", "maximum")
REDUCE = ("within", "across")
PAIRS = ("product", "inner")

Span = tuple[int, int]


@dataclass(frozen=True)
class Instruction:
    """One step of a stage; its number in `INSTRUCTIONS` is its code.

    reads, writes: runs of columns, (first, count). apart: of what it reads, the runs that lie apart from what it
    writes. weights: runs of the weights. Fields are integers from HELD to MAX_FIELD.
    """

    #: Fields that must be at least 1.
    sizes: ClassVar[tuple[str, ...]] = ("width",)
    #: Fields that are one of so many, by number.
    kinds: ClassVar[dict[str, int]] = {}

    def reads(self) -> list[Span]:
        return []

    def apart(self) -> list[Span]:
        return self.reads()

    def writes(self) -> list[Span]:
        raise NotImplementedError

    def weights(self) -> list[Span]:
        return []

    def encoded(self) -> list[int]:
        fields = [INSTRUCTIONS.index(type(self)), *(int(field) for field in astuple(self))]
        return fields + [0] * (ENCODED - len(fields))


@dataclass(frozen=True)
class Rows(Instruction):
    """out[j] = request[request + j] + item[item + j] + sum over the codes of code[codes + j] + pair[pair + j].

    The places are columns of the request's row (what the request stage gave), of the item's row, of the rows of the
    candidate's codes, and of the candidate's own inputs; NONE: not there. In the request stage only `pair` may be: the
    request's own inputs.
    """

    out: int
    width: int
    request: int = NONE
    item: int = NONE
    codes: int = NONE
    pair: int = NONE

    def writes(self) -> list[Span]:
        return [(self.out, self.width)]


@dataclass(frozen=True)
class Affine(Instruction):
    """out[o] = start + sum_i x[i] W[i][o], then max(0, .) where `relu`.

    W: `inputs` rows of `width` numbers, `stride` apart, from `weight` on: in the weights, or where `own` in the
    request's row (pair stage only). start: a place in the weights, NONE (zero) or HELD. In the pair stage of a program
    of precision "bfloat16", x and a W of the weights are rounded to that first.
    """

    out: int
    width: int
    x: int
    inputs: int
    weight: int
    stride: int
    start: int = NONE
    relu: int = 0
    own: int = 0

    sizes: ClassVar[tuple[str, ...]] = ("width", "stride")
    kinds: ClassVar[dict[str, int]] = {"relu": 2, "own": 2}

    def reads(self) -> list[Span]:
        return [*self.apart(), *([(self.out, self.width)] if self.start == HELD else [])]

    def apart(self) -> list[Span]:
        return [(self.x, self.inputs)]

    def writes(self) -> list[Span]:
        return [(self.out, self.width)]

    def weights(self) -> list[Span]:
        start = [(self.start, self.width)] if self.start >= 0 else []
        return start if self.own else [*start, *matrix(self.weight, self.inputs, self.stride, self.width)]


@dataclass(frozen=True)
class Fold(Instruction):
    """out[k width + o] = W[k][o] + x[k] V[k][o]: weights of the request's own, for `Affine`.

    W from `weight`, V from `times`, both `inputs` rows of `width` numbers, `stride` apart.
    """

    out: int
    width: int
    x: int
    inputs: int
    weight: int
    times: int
    stride: int

    sizes: ClassVar[tuple[str, ...]] = ("width", "inputs", "stride")

    def reads(self) -> list[Span]:
        return [(self.x, self.inputs)]

    def writes(self) -> list[Span]:
        return [(self.out, self.inputs * self.width)]

    def weights(self) -> list[Span]:
        return [
            *matrix(self.weight, self.inputs, self.stride, self.width),
            *matrix(self.times, self.inputs, self.stride, self.width),
        ]


@dataclass(frozen=True)
class Constant(Instruction):
    """out[j] = weights[weight + j]."""

    out: int
    width: int
    weight: int

    def writes(self) -> list[Span]:
        return [(self.out, self.width)]

    def weights(self) -> list[Span]:
        return [(self.weight, self.width)]


@dataclass(frozen=True)
class Unary(Instruction):
    """out[j] = f(a[j]); f by its number in UNARY. "scale" multiplies with weights[weight]. out may be a."""

    out: int
    width: int
    a: int
    kind: int
    weight: int = 0

    kinds: ClassVar[dict[str, int]] = {"kind": len(UNARY)}

    def reads(self) -> list[Span]:
        return [(self.a, self.width)]

    def apart(self) -> list[Span]:
        return [] if self.out == self.a else self.reads()

    def writes(self) -> list[Span]:
        return [(self.out, self.width)]

    def weights(self) -> list[Span]:
        return [(self.weight, 1)] if UNARY[self.kind] == "scale" else []


@dataclass(frozen=True)
class Binary(Instruction):
    """out[j] = a[j] op b[(j // group) % period]; op by its number in BINARY. out may be a, or b where neither repeats.

    group 1 and period `width`: element by element. group d: one b for each d columns. period d: the same d again and
    again.
    """

    out: int
    width: int
    a: int
    b: int
    kind: int
    group: int
    period: int

    sizes: ClassVar[tuple[str, ...]] = ("width", "group", "period")
    kinds: ClassVar[dict[str, int]] = {"kind": len(BINARY)}

    def reads(self) -> list[Span]:
        return [(self.a, self.width), (self.b, min(-(-self.width // self.group), self.period))]

    def apart(self) -> list[Span]:
        a, b = self.reads()
        repeats = self.group > 1 or self.period < self.width
        return [*([] if self.out == self.a else [a]), *([] if self.out == self.b and not repeats else [b])]

    def writes(self) -> list[Span]:
        return [(self.out, self.width)]


@dataclass(frozen=True)
class Softmax(Instruction):
    """Each of `groups` runs of `width` columns from `out` on becomes its softmax, in place."""

    out: int
    width: int
    groups: int

    sizes: ClassVar[tuple[str, ...]] = ("width", "groups")

    def reads(self) -> list[Span]:
        return self.writes()

    def apart(self) -> list[Span]:
        return []

    def writes(self) -> list[Span]:
        return [(self.out, self.width * self.groups)]


@dataclass(frozen=True)
class Mix(Instruction):
    """out[h] = sum_e gates[e] vectors[e width + h], over `experts`."""

    out: int
    width: int
    gates: int
    vectors: int
    experts: int

    sizes: ClassVar[tuple[str, ...]] = ("width", "experts")

    def reads(self) -> list[Span]:
        return [(self.gates, self.experts), (self.vectors, self.experts * self.width)]

    def writes(self) -> list[Span]:
        return [(self.out, self.width)]


@dataclass(frozen=True)
class Attend(Instruction):
    """The mean of the request's sequence under softmax of weights[scale] query.entry; zero where it has no entry.

    width: of the entries of sequence number `sequence`, and of the query at `query`.
    """

    out: int
    width: int
    query: int
    sequence: int
    scale: int

    def reads(self) -> list[Span]:
        return [(self.query, self.width)]

    def writes(self) -> list[Span]:
        return [(self.out, self.width)]

    def weights(self) -> list[Span]:
        return [(self.scale, 1)]


@dataclass(frozen=True)
class Mean(Instruction):
    """The mean of the entries of the request's sequence number `sequence`; zero where it has none."""

    out: int
    width: int
    sequence: int

    def writes(self) -> list[Span]:
        return [(self.out, self.width)]


@dataclass(frozen=True)
class FM(Instruction):
    """out[k] = ((sum_f a[f width + k])^2 - sum_f a[f width + k]^2) / 2 over `fields` (Rendle, ICDM 2010)."""

    out: int
    width: int
    a: int
    fields: int

    sizes: ClassVar[tuple[str, ...]] = ("width", "fields")

    def reads(self) -> list[Span]:
        return [(self.a, self.fields * self.width)]

    def writes(self) -> list[Span]:
        return [(self.out, self.width)]


@dataclass(frozen=True)
class Pairs(Instruction):
    """All pairs f < g of `fields`, f by f: a[f] * b[g], element by element ("product") or summed up ("inner")."""

    out: int
    width: int
    a: int
    b: int
    fields: int
    kind: int

    kinds: ClassVar[dict[str, int]] = {"kind": len(PAIRS)}

    def reads(self) -> list[Span]:
        return [(self.a, self.fields * self.width), (self.b, self.fields * self.width)]

    def writes(self) -> list[Span]:
        each = self.width if PAIRS[self.kind] == "product" else 1
        return [(self.out, self.fields * (self.fields - 1) // 2 * each)]


@dataclass(frozen=True)
class SelfAttend(Instruction):
    """Each of `fields` vectors of q attends to those of k: softmax over g of weights[scale] q[f].k[g], times v[g].

    width: of a vector; `heads` divides it, and each head attends with its own part (Vaswani et al., 2017).
    """

    out: int
    width: int
    q: int
    k: int
    v: int
    fields: int
    heads: int
    scale: int

    sizes: ClassVar[tuple[str, ...]] = ("width", "fields", "heads")

    def reads(self) -> list[Span]:
        return [(place, self.fields * self.width) for place in (self.q, self.k, self.v)]

    def writes(self) -> list[Span]:
        return [(self.out, self.fields * self.width)]

    def weights(self) -> list[Span]:
        return [(self.scale, 1)]


@dataclass(frozen=True)
class Reduce(Instruction):
    """Sums of `groups` runs of `width` columns: "within", out[g] = sum_j a[g width + j]; "across", out[j] = sum_g."""

    out: int
    width: int
    a: int
    groups: int
    kind: int

    sizes: ClassVar[tuple[str, ...]] = ("width", "groups")
    kinds: ClassVar[dict[str, int]] = {"kind": len(REDUCE)}

    def reads(self) -> list[Span]:
        return [(self.a, self.groups * self.width)]

    def writes(self) -> list[Span]:
        return [(self.out, self.groups if REDUCE[self.kind] == "within" else self.width)]


@dataclass(frozen=True)
class Normalise(Instruction):
    """Each of `groups` runs of `width` columns of a: (a - mean) / sqrt(variance + weights[epsilon]); out may be a."""

    out: int
    width: int
    a: int
    groups: int
    epsilon: int

    sizes: ClassVar[tuple[str, ...]] = ("width", "groups")

    def reads(self) -> list[Span]:
        return [(self.a, self.groups * self.width)]

    def apart(self) -> list[Span]:
        return [] if self.out == self.a else self.reads()

    def writes(self) -> list[Span]:
        return [(self.out, self.groups * self.width)]

    def weights(self) -> list[Span]:
        return [(self.epsilon, 1)]


#: An instruction's code is its place here.
INSTRUCTIONS: tuple[type[Instruction], ...] = (
    Rows,
    Affine,
    Fold,
    Constant,
    Unary,
    Binary,
    Softmax,
    Mix,
    Attend,
    Mean,
    FM,
    Pairs,
    SelfAttend,
    Reduce,
    Normalise,
)


def matrix(place: int, rows: int, stride: int, width: int) -> list[Span]:
    """The run of weights that a matrix of `rows` rows, `stride` apart, reaches over."""
    return [(place, (rows - 1) * stride + width)] if rows else []
