"""Brute force for network programs: one row and one instruction at a time, each value with a bound on its error."""

from __future__ import annotations

import numpy as np
from network_oracle import U, Value, join

from headrace.kernels.network import instructions as ins


class Row:
    """The columns of one row, and what it may read. rounded: whether `Affine` multiplies in bfloat16."""

    def __init__(self, columns, weights, inputs, request=None, item=None, codes=None, sequences=(), rounded=False):
        self.held = Value(np.full(columns, np.nan))
        self.weights, self.inputs, self.request, self.item, self.codes = weights, inputs, request, item, codes
        self.sequences, self.rounded = sequences, rounded

    def get(self, first, count):
        return Value(self.held.value[first : first + count].copy(), self.held.error[first : first + count].copy())

    def put(self, first, value):
        self.held.value[first : first + len(value.value)] = value.value
        self.held.error[first : first + len(value.value)] = value.error

    def weight(self, first, count):
        return Value(self.weights[first : first + count])

    def run(self, stage):
        for step in stage.code:
            getattr(self, type(step).__name__.lower())(step)
        return self.get(stage.out, stage.width)

    def rows(self, s):
        total = Value(np.zeros(s.width))
        if s.request >= 0:
            total = total.plus(self.request[s.request : s.request + s.width])
        if s.item >= 0:
            total = total.plus(Value(self.item[s.item : s.item + s.width]))
        if s.codes >= 0:
            for row in self.codes:
                total = total.plus(Value(row[s.codes : s.codes + s.width]))
        if s.pair >= 0:
            total = total.plus(Value(self.inputs[s.pair : s.pair + s.width]))
        self.put(s.out, total)

    def affine(self, s):
        start = Value(np.zeros(s.width))
        if s.start == ins.HELD:
            start = self.get(s.out, s.width)
        elif s.start >= 0:
            start = self.weight(s.start, s.width)
        if self.rounded and not s.own:
            total = self.in_bfloat16(s, start)
            return self.put(s.out, total.relu() if s.relu else total)
        source = self.request if s.own else Value(self.weights)
        total = start
        for i in range(s.inputs):
            x, place = self.get(s.x + i, 1), s.weight + i * s.stride
            total = fused(x, source[place : place + s.width], total)
        return self.put(s.out, total.relu() if s.relu else total)

    def in_bfloat16(self, s, start):
        """x and W rounded, then summed in any order. Numbers below 2^-126 may count as zero."""
        x, at = rounded(self.get(s.x, s.inputs)), np.arange(s.inputs)[:, None] * s.stride + np.arange(s.width)
        w = bfloat16(self.weights[s.weight + at])
        most = np.abs(x.value) + x.error
        size = np.abs(start.value) + start.error + most @ np.abs(w)
        lost = 2.0**-126 * (s.inputs + most.sum() + np.abs(w).sum(0))
        error = start.error + x.error @ np.abs(w) + (s.inputs + 2) * U * size + lost
        return Value(start.value + x.value @ w, error)

    def fold(self, s):
        for k in range(s.inputs):
            row, times = self.weight(s.weight + k * s.stride, s.width), self.weight(s.times + k * s.stride, s.width)
            self.put(s.out + k * s.width, fused(self.get(s.x + k, 1), times, row))

    def constant(self, s):
        self.put(s.out, self.weight(s.weight, s.width))

    def unary(self, s):
        a = self.get(s.a, s.width)
        functions = {
            "copy": lambda: a,
            "relu": a.relu,
            "sigmoid": lambda: smooth(1 / (1 + np.exp(-a.value)), a.error / 4, 10),
            "tanh": lambda: smooth(np.tanh(a.value), a.error, 12),
            "square": lambda: a.times(a),
            "scale": lambda: a.times(self.weight(s.weight, 1)),
        }
        self.put(s.out, functions[ins.UNARY[s.kind]]())

    def binary(self, s):
        a, parts = self.get(s.a, s.width), []
        for j in range(s.width):
            b = self.get(s.b + j // s.group % s.period, 1)
            x, kind = a[j : j + 1], ins.BINARY[s.kind]
            if kind == "maximum":
                parts.append(Value(np.maximum(x.value, b.value), np.maximum(x.error, b.error)))
            elif kind == "multiply":
                parts.append(x.times(b))
            else:
                parts.append(x.plus(b if kind == "add" else Value(-b.value, b.error)))
        self.put(s.out, join(*parts))

    def softmax(self, s):
        for g in range(s.groups):
            self.put(s.out + g * s.width, self.get(s.out + g * s.width, s.width).softmax())

    def mix(self, s):
        self.put(s.out, self.mixed(s.gates, s.vectors, s.experts, s.width, s.width))

    def mixed(self, gates, vectors, count, stride, width):
        gates = gates if isinstance(gates, Value) else self.get(gates, count)
        total = Value(np.zeros(width))
        for e in range(count):
            total = fused(gates[e : e + 1], self.get(vectors + e * stride, width), total)
        return total

    def attend(self, s):
        entries = self.sequences[s.sequence]
        if not len(entries):
            return self.put(s.out, Value(np.zeros(s.width)))
        query, scale = self.get(s.query, s.width), self.weights[s.scale]
        keys = entries.astype(np.float64).T * scale
        logits = query.through(keys)
        # The keys are rounded when they are scaled.
        logits.error = logits.error + U * ((np.abs(query.value) + query.error) @ np.abs(keys))
        return self.put(s.out, logits.softmax().through(entries))

    def mean(self, s):
        entries = self.sequences[s.sequence].astype(np.float64)
        value = entries.sum(0) / max(len(entries), 1)
        error = (len(entries) + 1) * U * np.abs(entries).sum(0) / max(len(entries), 1)
        self.put(s.out, Value(value, error))

    def fm(self, s):
        total, squares = Value(np.zeros(s.width)), Value(np.zeros(s.width))
        for f in range(s.fields):
            x = self.get(s.a + f * s.width, s.width)
            total, squares = total.plus(x), fused(x, x, squares)
        both = fused(total, total, Value(-squares.value, squares.error))
        self.put(s.out, Value(both.value / 2, both.error / 2))

    def pairs(self, s):
        parts = [Value(np.zeros(0))]
        for f in range(s.fields):
            for g in range(f + 1, s.fields):
                a, b = self.get(s.a + f * s.width, s.width), self.get(s.b + g * s.width, s.width)
                parts.append(dot(a, b) if ins.PAIRS[s.kind] == "inner" else a.times(b))
        self.put(s.out, join(*parts))

    def selfattend(self, s):
        part, results = s.width // s.heads, []
        for f in range(s.fields):
            for h in range(s.heads):
                q = self.get(s.q + f * s.width + h * part, part)
                keys = (self.get(s.k + g * s.width + h * part, part) for g in range(s.fields))
                logits = join(*(dot(q, k).times(self.weight(s.scale, 1)) for k in keys)).softmax()
                results.append(self.mixed(logits, s.v + h * part, s.fields, s.width, part))
        self.put(s.out, join(*results))

    def reduce(self, s):
        groups = [self.get(s.a + g * s.width, s.width) for g in range(s.groups)]
        if ins.REDUCE[s.kind] == "within":
            return self.put(s.out, join(*(added(group[j : j + 1] for j in range(s.width)) for group in groups)))
        return self.put(s.out, added(groups))

    def normalise(self, s):
        for g in range(s.groups):
            a = self.get(s.a + g * s.width, s.width)
            total = added(a[j : j + 1] for j in range(s.width))
            mean = divided(total, s.width)
            centred = a.plus(Value(-mean.value, mean.error))
            spread = divided(dot(centred, centred), s.width).plus(self.weight(s.epsilon, 1))
            # Three more roundings: of the root, of its inverse, of the product.
            lower = spread.value - spread.error
            factor = Value(spread.value**-0.5)
            factor.error = lower**-0.5 - factor.value + 3 * U * lower**-0.5
            self.put(s.out + g * s.width, centred.times(factor))


def bfloat16(x):
    """The nearest number of 8 digits, ties to even."""
    mantissa, exponent = np.frexp(np.asarray(x, np.float64))
    return np.ldexp(np.rint(mantissa * 256), exponent - 8)


def rounded(a):
    """In bfloat16: off by nothing where no tie lies within the error, else by what lies between the two roundings."""
    value = bfloat16(a.value)
    return Value(value, np.maximum(bfloat16(a.value + a.error) - value, value - bfloat16(a.value - a.error)))


def fused(a, b, start):
    """start + a b, rounded once."""
    value = start.value + a.value * b.value
    error = start.error + np.abs(a.value) * b.error + np.abs(b.value) * a.error + a.error * b.error
    return Value(value, error * (1 + U) + U * np.abs(value))


def dot(a, b):
    total = Value(np.zeros(1))
    for j in range(len(a.value)):
        total = fused(a[j : j + 1], b[j : j + 1], total)
    return total


def added(values):
    total = None
    for value in values:
        total = Value(np.zeros(len(value.value))) if total is None else total
        total = total.plus(value)
    return total


def divided(a, count):
    value = a.value / count
    return Value(value, a.error / count * (1 + U) + U * np.abs(value))


def smooth(value, error, roundings):
    return Value(value, error + roundings * U * (np.abs(value) + error) + 1e-37)


def brute(program, arguments):
    """[n, T] logits and their bounds."""
    a, p = arguments, program
    weights = p.weights.numpy()
    results = [Value(np.zeros((0, p.pair.width)))]
    for b in range(len(a["request"])):
        own = [entries[b, : counts[b]].numpy() for entries, counts in a["sequences"]]
        row = Row(p.request.columns, weights, a["request"][b].numpy(), sequences=own).run(p.request)
        for c in range(int(a["offsets"][b]), int(a["offsets"][b + 1])):
            item, codes = p.item_rows[a["item"][c]].numpy(), p.code_rows[a["codes"][c].long()].numpy()
            given = a["pair"][c].numpy(), row, item, codes, own, p.precision == "bfloat16"
            logits = Row(p.pair.columns, weights, *given).run(p.pair)
            results.append(Value(logits.value[None], logits.error[None]))
    return join(*results)
