"""Sets of columns, values for them, and a lowered network evaluated row by row with bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from network_oracle import U, Value
from program_oracle import Row

from headrace.features.columns import Column, Columns
from headrace.kernels.network import instructions as ins
from headrace.models import MODELS, WithPrior

REQUEST = (
    Column("user", "request", "code", 11),
    Column("city", "request", "code", 5),
    Column("rates", "request", "dense", 6),
)
CLICKS = Column("clicks", "request", "sequence", 5, "item")
LIKES = Column("likes", "request", "sequence", 3, "item")
ITEM = (Column("item", "item", "code", 9), Column("author", "item", "code", 4))
CONTENT = Column("content", "item", "dense", 7)
COUNTS = Column("counts", "item", "dense", 5)
AGE = Column("age", "pair", "code", 6)
PLACE = Column("place", "pair", "code", 4)
CROSSED = Column("crossed", "pair", "dense", 4)

#: name -> (columns, targets).
SETS = {
    "all": (Columns([*REQUEST, CLICKS, *ITEM, CONTENT, COUNTS, AGE, CROSSED]), 3),
    "no sequences": (Columns([*REQUEST, *ITEM, CONTENT, COUNTS, AGE, CROSSED]), 2),
    "two sequences": (Columns([CLICKS, *REQUEST, LIKES, *ITEM, COUNTS, AGE, CROSSED]), 3),
    "no codes of the pair": (Columns([*REQUEST, CLICKS, *ITEM, CONTENT, COUNTS, CROSSED]), 1),
    "two codes of the pair": (Columns([AGE, *ITEM, CROSSED, PLACE, *REQUEST, CLICKS, CONTENT, COUNTS]), 2),
    "codes alone": (Columns([REQUEST[0], CLICKS, *ITEM, AGE]), 2),
}
#: name of a model -> settings beside the default.
OPTIONS = {
    "mmoe": [{"attention": False, "experts": 2, "expert_units": (8, 4)}],
    "dcn_v2": [{"rank": 3, "experts": 2, "layers": 3}],
    "fibinet": [{"bilinear": "all"}, {"bilinear": "interaction", "reduction": 1}],
    "ple": [{"levels": 2, "own_experts": 2, "shared_experts": 1}],
}
#: From the bound of float32 arithmetic to that of float64, for the network and for its program. The network's sums run
#: over at most 32 times as many terms as the shortest of the parts that its program splits them into.
DOUBLE = 2.0**-29 * (32 + 1)
CASES = [(name, options) for name in MODELS for options in ({}, *OPTIONS.get(name, []))]


@dataclass
class World:
    """Columns of requests, of items and of candidates, and which request and item each candidate is of."""

    request: dict
    items: dict
    pair: dict
    offsets: torch.Tensor
    item: torch.Tensor

    @property
    def owner(self):
        return torch.repeat_interleave(self.offsets.diff())

    def each(self):
        """All columns, a row for each candidate."""
        request = {name: values[self.owner] for name, values in self.request.items()}
        return {**request, **{name: values[self.item] for name, values in self.items.items()}, **self.pair}


def values_of(columns, rows, generator):
    made = {}
    for column in columns:
        if column.kind == "dense":
            made[column.name] = torch.randn(rows, column.size, generator=generator)
        elif column.kind == "code":
            made[column.name] = torch.randint(0, column.size, (rows,), generator=generator)
        else:
            entries = torch.randint(1, 9, (rows, column.size), generator=generator)
            counts = torch.randint(0, column.size + 1, (rows, 1), generator=generator)
            made[column.name] = torch.where(torch.arange(column.size) < counts, entries, 0)
    return made


def statistics_with_candidates(columns):
    """Sides where the items' statistics are given with the candidates, and differ from those of the items."""
    return {column.name: "pair" for column in columns.of("dense", "item") if column.name != "content"}


def world(columns, counts=(3, 0, 2), items=6, seed=0, sides=()):
    """sides: of columns that are not of their own."""
    generator = torch.Generator().manual_seed(seed)
    n, sides = sum(counts), {column.name: column.side for column in columns} | dict(sides)
    rows = {"request": len(counts), "item": items, "pair": n}
    return World(
        *(values_of([c for c in columns if sides[c.name] == side], rows[side], generator) for side in rows),
        torch.tensor([0, *counts]).cumsum(0),
        torch.randint(0, items, (n,), generator=generator),
    )


def network_of(name, columns, targets, options=(), seed=0):
    """A network as it predicts, with its rates set and no parameter at zero."""
    torch.manual_seed(seed)
    kind = MODELS[name]
    network = WithPrior(kind(columns, targets, kind.Settings(**dict(options))), targets)
    return randomised(network, targets)


def randomised(network, targets):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        network.set_prior(torch.randn(targets))
    return network.eval()


def in_doubles(network, columns):
    """float64 [n, T]: the network per candidate."""
    doubles = {name: v.double() if v.is_floating_point() else v for name, v in columns.items()}
    with torch.no_grad():
        logits = network.double()(doubles)
    network.float()
    return logits


def arguments_of(ready, given):
    """What the network kernel is given for this world."""
    n = len(given.item)
    return {
        "request": ready.lowered.request_inputs(given.request, len(given.offsets) - 1),
        "sequences": ready.lowered.entries(given.request),
        "offsets": given.offsets,
        "item": given.item,
        "codes": ready.lowered.codes(given.pair, n),
        "pair": ready.lowered.pair_inputs(given.pair, n),
    }


def in_parts(network, rows):
    """(model, rows, name -> vectors of each code, clicks too), in float64, of the columns "all"."""
    model = network.model.double()
    rows = {name: v.double() if v.is_floating_point() else v for name, v in rows.items()}
    starts = dict(zip(model.features.codes, (0, 11, 16, 25, 29), strict=True))
    starts["clicks"] = starts["item"]
    table = model.features.embedding.table.weight
    return model, rows, {name: table[rows[name] + start] for name, start in starts.items()}


class Bounded(Row):
    """A row that reads values with bounds; its sums are bounded for every order of their terms."""

    def rows(self, s):
        parts = [(self.request, s.request), (self.item, s.item), (self.codes, s.codes), (Value(self.inputs), s.pair)]
        total = Value(np.zeros(s.width))
        for values, first in parts:
            if first >= 0:
                total = total.plus(values[first : first + s.width])
        self.put(s.out, total)

    def affine(self, s):
        if s.own:
            return super().affine(s)
        start = Value(np.zeros(s.width))
        if s.start != ins.NONE:
            start = self.get(s.out, s.width) if s.start == ins.HELD else self.weight(s.start, s.width)
        at = s.weight + np.arange(s.inputs)[:, None] * s.stride + np.arange(s.width)
        total = self.get(s.x, s.inputs).through(self.weights[at], start)
        return self.put(s.out, total.relu() if s.relu else total)


def bounded(lowered, world):
    """(float64 [n, T], bounds on their error in float32), of the lowered network before it is rounded."""
    n, weights = len(world.item), lowered.weights.numpy()
    request = lowered.request_inputs(world.request, len(world.offsets) - 1).double().numpy()
    lists = [(entries.double().numpy(), counts) for entries, counts in lowered.entries(world.request)]
    pair, codes = lowered.pair_inputs(world.pair, n).double().numpy(), lowered.codes(world.pair, n).long()
    inputs = lowered.item_inputs(world.items, len(next(iter(world.items.values())))).double().numpy()
    items = [Bounded(lowered.item.columns, weights, row).run(lowered.item) for row in inputs]
    results = []
    for c, b in enumerate(world.owner.tolist()):
        own = [entries[b, : counts[b]] for entries, counts in lists]
        row = Bounded(lowered.request.columns, weights, request[b], sequences=own).run(lowered.request)
        rows = lowered.code_rows[codes[c]].numpy()
        code = Value(rows.sum(0), (1 + len(rows)) * U * np.abs(rows).sum(0)) if len(rows) else None
        candidate = Bounded(lowered.pair.columns, weights, pair[c], row, items[int(world.item[c])], code, own)
        results.append(candidate.run(lowered.pair))
    return torch.tensor(np.array([r.value for r in results])), torch.tensor(np.array([r.error for r in results]))
