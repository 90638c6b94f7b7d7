"""A program with every instruction of every kind, and calls of it: random numbers, awkward sizes, ragged requests."""

from __future__ import annotations

import numpy as np
import torch

from headrace.kernels.network import Program, Stage
from headrace.kernels.network import instructions as ins

REQUEST, PAIR, FIELDS, ITEMS, CODES = 11, 9, 3, 50, 7
#: Widths of the entries of the sequences.
SEQUENCES = (5, 3)


class Maker:
    """A stage in the making: takes columns and adds instructions that fill them."""

    def __init__(self, rng, weights, inputs):
        self.rng, self.weights, self.inputs = rng, weights, inputs
        self.code, self.columns = [], 0

    def take(self, width):
        self.columns += width
        return self.columns - width

    def weight(self, count, scale=1.0):
        self.weights.append(self.rng.standard_normal(count).astype(np.float32) * np.float32(scale))
        return sum(len(part) for part in self.weights) - count

    def positive(self):
        self.weights.append(np.full(1, 0.3, np.float32))
        return sum(len(part) for part in self.weights) - 1

    def add(self, kind, width, *fields, count=None, **named):
        """The first of the `count` columns (otherwise `width`) that the instruction fills."""
        out = self.take(width if count is None else count)
        self.code.append(kind(out, width, *fields, **named))
        return out

    def rows(self, width):
        """Columns of the row's own inputs, drawn anywhere."""
        return self.add(ins.Rows, width, pair=int(self.rng.integers(0, self.inputs - width + 1)))

    def affine(self, width, x, inputs, *, start=ins.NONE, relu=0, extra=2):
        weight = self.weight((inputs - 1) * (width + extra) + width if inputs else 0, max(inputs, 1) ** -0.5)
        return self.add(ins.Affine, width, x, inputs, weight, width + extra, start, relu)

    def everything_else(self):
        """One of each instruction that both stages may have, of every kind."""
        x = self.rows(6)
        for kind in range(len(ins.UNARY)):
            self.add(ins.Unary, 6, x, kind, self.weight(1))
        y = self.rows(6)
        for kind in range(len(ins.BINARY)):
            self.add(ins.Binary, 6, x, y, kind, 1, 6)
            self.add(ins.Binary, 6, x, y, kind, 4, 2)
        self.code.append(ins.Binary(x, 6, x, y, ins.BINARY.index("add"), 1, 6))
        h = self.affine(67, x, 6, start=self.weight(67), relu=1)
        z = self.affine(33, h, 67)
        weight = self.weight(6 * 17)
        self.code.append(ins.Affine(z, 17, y, 6, weight, 17, ins.HELD, 0))
        self.affine(1, z, 33, extra=0)
        self.affine(3, z, 0, start=self.weight(3))
        self.add(ins.Constant, 37, self.weight(37))
        gates = self.affine(3 * 5, x, 6)
        self.code.append(ins.Softmax(gates, 5, 3))
        wide = self.affine(2 * 19, x, 6)
        self.code.append(ins.Softmax(wide, 2, 19))
        self.add(ins.Mix, 6, gates, h, 5)
        for number, width in enumerate(SEQUENCES):
            self.add(ins.Attend, width, z, number, self.weight(1))
            self.add(ins.Mean, width, number)
        self.add(ins.FM, 18, z, 1)
        self.add(ins.FM, 4, z, 8)
        for fields, width in ((5, 6), (1, 7), (20, 1)):
            self.add(ins.Pairs, width, z, h, fields, 0, count=fields * (fields - 1) // 2 * width)
            self.add(ins.Pairs, width, z, h, fields, 1, count=fields * (fields - 1) // 2)
        self.add(ins.SelfAttend, 6, z, h, h + 20, 5, 2, self.weight(1), count=30)
        self.add(ins.SelfAttend, 2, z, h, z, 9, 2, self.weight(1), count=18)
        for kind in range(len(ins.REDUCE)):
            self.add(ins.Reduce, 7, h, 9, kind, count=9 if ins.REDUCE[kind] == "within" else 7)
        self.add(ins.Normalise, 11, z, 3, self.positive(), count=33)
        self.code.append(ins.Normalise(z, 3, z, 11, self.positive()))

    def stage(self):
        return Stage(tuple(self.code), self.columns, 0, self.columns)


def every_instruction(seed=0):
    """A program whose result is all of its columns."""
    rng = np.random.default_rng(seed)
    weights = []
    request = Maker(rng, weights, REQUEST)
    x = request.rows(5)
    request.add(ins.Fold, 18, x, 5, request.weight(100), request.weight(100), 20, count=90)
    request.everything_else()
    pair = Maker(rng, weights, PAIR)
    pair.add(ins.Rows, 19, 2, 3, 1, ins.NONE)
    pair.add(ins.Rows, 9, ins.NONE, 0, ins.NONE, 0)
    v = pair.add(ins.Rows, 7, 1, ins.NONE, 4, 2)
    # The folded weights, as a matrix of 5 rows.
    pair.add(ins.Affine, 18, v, 5, x + 5, 18, pair.weight(18), 1, 1)
    pair.add(ins.Affine, 3, v, 4, x + 7, 21, ins.NONE, 0, 1)
    pair.everything_else()
    return Program(
        request=request.stage(),
        pair=pair.stage(),
        weights=torch.from_numpy(np.concatenate(weights)),
        item_rows=torch.from_numpy(rng.standard_normal((ITEMS, 23)).astype(np.float32)),
        code_rows=torch.from_numpy(rng.standard_normal((CODES, 21)).astype(np.float32)),
        request_inputs=REQUEST,
        pair_inputs=PAIR,
        fields=FIELDS,
        sequences=SEQUENCES,
    )


def call(program, lengths, longest=(4, 7), seed=1):
    """The keyword arguments of a call: requests with `lengths` candidates, sequences of at most `longest` entries."""
    rng = np.random.default_rng(seed)
    batch, n = len(lengths), sum(lengths)

    def normal(*shape):
        return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))

    def integers(high, *shape):
        return torch.from_numpy(rng.integers(0, high, shape))

    return {
        "request": normal(batch, program.request_inputs),
        "offsets": torch.tensor([0, *lengths]).cumsum(0),
        "item": integers(len(program.item_rows), n),
        "codes": integers(len(program.code_rows), n, program.fields).int(),
        "pair": normal(n, program.pair_inputs),
        "sequences": [
            (normal(batch, most, width), integers(most + 1, batch).int())
            for most, width in zip(longest, program.sequences, strict=True)
        ],
    }
