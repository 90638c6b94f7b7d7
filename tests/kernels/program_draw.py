"""Random network programs of every instruction, and calls of them."""

from __future__ import annotations

import numpy as np
import torch
from network_oracle import float32

from headrace.kernels.network import Program, Stage
from headrace.kernels.network import instructions as ins

REQUEST, PAIR, ITEMS, ITEM, CODES, CODE, SEQUENCES = 19, 11, 50, 37, 9, 23, (5, 16)
WIDTHS = (1, 2, 3, 5, 8, 15, 16, 17, 20, 33)


class Draft:
    """A stage that grows: its columns 0 to `size` are all written, and most steps write behind them."""

    def __init__(self, rng, weights, pair, row=0):
        self.rng, self.weights, self.pair, self.row, self.code, self.size = rng, weights, pair, row, [], 0
        self.start()

    def start(self):
        rooms = {"request": self.row, "item": ITEM, "codes": CODE, "pair": PAIR} if self.pair else {"pair": REQUEST}
        self.add(ins.Rows, self.width(min(rooms.values())), **dict.fromkeys(rooms, 0))
        for name, room in rooms.items():
            width = self.width(room)
            self.add(ins.Rows, width, **{name: self.below(room - width + 1)})
        self.add(ins.Rows, 3)

    def below(self, n):
        return int(self.rng.integers(n))

    def width(self, most=33):
        return int(self.rng.choice([w for w in WIDTHS if w <= most]))

    def add(self, kind, width, *fields, count=None, **named):
        """A step that writes `count` columns behind all others."""
        self.code.append(kind(self.size, width, *fields, **named))
        self.size += width if count is None else count

    def run(self, width):
        """A place of `width` columns that are written."""
        if self.size < width:
            self.add(ins.Constant, width, self.weight(width))
        return self.below(self.size - width + 1)

    def weight(self, *shape, scale=1.0):
        """A place of new weights."""
        place = sum(len(part) for part in self.weights)
        self.weights.append(float32(self.rng, int(np.prod(shape)), scale=scale))
        return place

    def positive(self, value):
        self.weights.append(np.float32([value]))
        return sum(len(part) for part in self.weights) - 1

    def tame(self, first, width):
        """Products grow: what they gave stays below 1."""
        self.code.append(ins.Unary(first, width, first, ins.UNARY.index("tanh")))

    def affine(self):
        width, inputs, stride = self.width(), self.below(20), 0
        stride = width + self.below(3)
        x, relu = self.run(inputs), self.below(2)
        start = (ins.NONE, self.weight(width))[self.below(2)]
        weight = self.weight(max(inputs, 1), stride, scale=max(inputs, 1) ** -0.5)
        self.add(ins.Affine, width, x, inputs, weight, stride, start, relu)
        for _ in range(self.below(4)):
            inputs = self.below(self.size - width)
            weight = self.weight(max(inputs, 1), stride, scale=max(inputs, 1) ** -0.5)
            x = self.below(self.size - width - inputs + 1)
            self.code.append(ins.Affine(self.size - width, width, x, inputs, weight, stride, ins.HELD, self.below(2)))
        if self.pair and self.row > width:
            inputs = self.below(min(20, self.row - width))
            self.add(ins.Affine, width, self.run(inputs), inputs, self.below(self.row - width - inputs + 1), 1, own=1)
            self.tame(self.size - width, width)

    def fold(self):
        if self.pair:
            return
        width, inputs = self.width(), self.below(5) + 1
        places = self.weight(inputs, width + 1), self.weight(inputs, width + 1)
        self.add(ins.Fold, width, self.run(inputs), inputs, *places, width + 1, count=inputs * width)

    def constant(self):
        width = self.width()
        self.add(ins.Constant, width, self.weight(width))

    def unary(self):
        width, kind = self.width(), self.below(len(ins.UNARY))
        a = self.run(width)
        if self.below(2):
            self.add(ins.Unary, width, a, kind, self.weight(1))
            a = self.size - width
        else:
            self.code.append(ins.Unary(a, width, a, kind, self.weight(1)))
        if ins.UNARY[kind] == "square":
            self.tame(a, width)

    def binary(self):
        width, kind = self.width(), self.below(len(ins.BINARY))
        group, period = ((1, width), (self.below(4) + 1, width), (1, self.below(width) + 1), (3, 2))[self.below(4)]
        a, b = self.run(width), self.run(min(-(-width // group), period))
        self.add(ins.Binary, width, a, b, kind, group, period)
        here = self.size - width
        other = self.below(here - width + 1) if here >= width else None
        if other is not None:
            self.code.append(ins.Binary(here, width, here, other, 0, 1, width))
            self.code.append(ins.Binary(here, width, other, here, 1, 1, width + 3))
        self.tame(here, width)

    def softmax(self):
        width, groups = self.width(), self.below(3) + 1
        self.add(ins.Unary, width * groups, self.run(width * groups), 0)
        self.code.append(ins.Softmax(self.size - width * groups, width, groups))

    def mix(self):
        width, experts = self.width(), self.below(4) + 1
        self.add(ins.Mix, width, self.run(experts), self.run(experts * width), experts)
        self.tame(self.size - width, width)

    def attend(self):
        number = self.below(len(SEQUENCES))
        self.add(ins.Attend, SEQUENCES[number], self.run(SEQUENCES[number]), number, self.weight(1))

    def mean(self):
        number = self.below(len(SEQUENCES))
        self.add(ins.Mean, SEQUENCES[number], number)

    def fm(self):
        width, fields = self.width(), self.below(4) + 1
        self.add(ins.FM, width, self.run(fields * width), fields)
        self.tame(self.size - width, width)

    def pairs(self):
        width, fields, kind = self.width(17), self.below(5), self.below(2)
        a, b = self.run(fields * width), self.run(fields * width)
        count = fields * (fields - 1) // 2 * (width if ins.PAIRS[kind] == "product" else 1)
        self.add(ins.Pairs, width, a, b, fields, kind, count=count)
        if count:
            self.tame(self.size - count, count)

    def selfattend(self):
        heads, fields = self.below(3) + 1, self.below(6) + 1
        width = heads * (self.below(6) + 1)
        q, k, v = (self.run(fields * width) for _ in range(3))
        scale = self.positive(width**-0.5)
        self.add(ins.SelfAttend, width, q, k, v, fields, heads, scale, count=fields * width)

    def reduce(self):
        width, groups, kind = self.width(), self.below(4) + 1, self.below(2)
        count = groups if ins.REDUCE[kind] == "within" else width
        self.add(ins.Reduce, width, self.run(groups * width), groups, kind, count=count)
        self.tame(self.size - count, count)

    def normalise(self):
        width, groups = self.width(), self.below(3) + 1
        a = self.run(groups * width)
        if self.below(2):
            self.add(ins.Normalise, width, a, groups, self.positive(0.1), count=groups * width)
        else:
            self.code.append(ins.Normalise(a, width, a, groups, self.positive(0.1)))

    def rows(self):
        self.start()

    def stage(self, most=40):
        width = min(most, self.size)
        return Stage(tuple(self.code), self.size, self.size - width, width)


def draw(seed, kinds=ins.INSTRUCTIONS, steps=8, fields=2):
    """A program of `steps` random instructions of `kinds` in each stage, between a start from all rows and a result."""
    rng, weights = np.random.default_rng(seed), []
    stages = []
    for pair in (False, True):
        draft = Draft(rng, weights, pair, stages[0].width if pair else 0)
        for kind in rng.choice(len(kinds), steps):
            getattr(draft, kinds[kind].__name__.lower())()
        stages.append(draft.stage())
    return Program(
        request=stages[0],
        pair=stages[1],
        weights=torch.from_numpy(np.concatenate([*weights, np.zeros(1, np.float32)])),
        item_rows=torch.from_numpy(float32(rng, ITEMS, ITEM)),
        code_rows=torch.from_numpy(float32(rng, CODES, CODE)),
        request_inputs=REQUEST,
        pair_inputs=PAIR,
        fields=fields,
        sequences=SEQUENCES,
    )


def call(program, counts, longest=7, seed=1):
    """Keyword arguments of a call: request b has counts[b] candidates and some number of entries."""
    rng, batch, n = np.random.default_rng(seed), len(counts), sum(counts)
    sequences = [
        (float32(rng, batch, longest, width), rng.integers(0, longest + 1, batch).astype(np.int32))
        for width in program.sequences
    ]
    arrays = {
        "request": float32(rng, batch, program.request_inputs),
        "offsets": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        "item": rng.integers(0, len(program.item_rows), n),
        "codes": rng.integers(0, len(program.code_rows), (n, program.fields)).astype(np.int32),
        "pair": float32(rng, n, program.pair_inputs),
    }
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return {**tensors, "sequences": [tuple(map(torch.from_numpy, pair)) for pair in sequences]}
