"""What the benchmark of ranking networks runs: a catalogue's columns, and requests with candidates, of the default
funnel's sizes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headrace.benchmarks.candidates import drawn
from headrace.features import Column, Columns
from headrace.models import MODELS, WithPrior
from headrace.models.lower import Ready, lower

#: Targets of the ranker and of the pre-ranker, which leaves play time out.
TARGETS = {"mmoe": 9, "dcn_v2": 9, "three_towers": 8}
REQUEST_CODES, ITEM_CODES, AGES, BEHAVIOURS = 7, 5, 24, 20
STATISTICS = {"request": 20, "item": 32, "pair": 10}
CONTENT = 16

Made = dict[str, Tensor]


def columns_of(items: int) -> Columns:
    return Columns([
        *(Column("user" if f == 0 else f"request {f}", "request", "code", 100) for f in range(REQUEST_CODES)),
        Column("request_statistics", "request", "dense", STATISTICS["request"]),
        Column("last", "request", "sequence", BEHAVIOURS, of="item"),
        Column("item", "item", "code", items + 1),
        *(Column(f"item {f}", "item", "code", 500) for f in range(1, ITEM_CODES)),
        Column("content", "item", "dense", CONTENT),
        Column("item_statistics", "item", "dense", STATISTICS["item"]),
        Column("age", "pair", "code", AGES),
        Column("statistics", "pair", "dense", STATISTICS["pair"]),
    ])  # fmt: skip


def drawn_columns(columns: Columns, side: str, rows: int, seed: int) -> Made:
    """A row of every column of a side, drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    made: Made = {}
    for column in columns:
        if column.side != side:
            continue
        if column.kind == "dense":
            made[column.name] = torch.randn(rows, column.size, generator=generator) / (4 if side == "item" else 1)
        elif column.kind == "code":
            made[column.name] = torch.randint(0, column.size, (rows,), generator=generator).int()
        else:
            size = columns[column.of or ""].size
            made[column.name] = torch.randint(1, size, (rows, column.size), generator=generator).int()
    return made


@dataclass(frozen=True)
class Catalogue:
    """A network over a catalogue: items are the columns of its items, ready its program."""

    columns: Columns
    network: WithPrior
    items: Made
    ready: Ready


def make_catalogue(model: str, items: int) -> Catalogue:
    columns = columns_of(items)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = MODELS[model](columns, TARGETS[model], MODELS[model].Settings())
    network = WithPrior(made, TARGETS[model])
    lively(network)
    own = drawn_columns(columns, "item", items, 1)
    own["item"] = torch.arange(1, items + 1).int()
    with torch.no_grad():
        return Catalogue(columns, network, own, lower(network, columns).with_items(own, items))


def lively(network: nn.Module) -> nn.Module:
    """`network` as if trained: embeddings and biases that matter. It takes no gradients."""
    generator = torch.Generator().manual_seed(1)
    for name, weight in network.named_parameters():
        weight.requires_grad_(False)
        if name.endswith("table.weight"):
            weight.normal_(std=0.5, generator=generator)
        elif name.endswith("bias"):
            weight.normal_(std=0.2, generator=generator)
    return network.eval()


@dataclass(frozen=True)
class Asked:
    """requests, pairs: the columns of their sides. offsets, item: whose candidates."""

    requests: Made
    pairs: Made
    offsets: Tensor
    item: Tensor

    @property
    def owner(self) -> Tensor:
        """int64 [n]: the request of each candidate."""
        return torch.repeat_interleave(self.offsets.diff(), output_size=len(self.item))

    def rows(self, items: Made, at: Tensor) -> Made:
        """All columns of the candidates at `at` (int64 [m]), gathered as a network takes them."""
        owner, item = self.owner[at], self.item[at]
        return {
            **{name: column.index_select(0, owner) for name, column in self.requests.items()},
            **{name: column.index_select(0, item) for name, column in items.items()},
            **{name: column.index_select(0, at) for name, column in self.pairs.items()},
        }


def make_asked(columns: Columns, offsets: Tensor, items: int) -> Asked:
    requests = drawn_columns(columns, "request", len(offsets) - 1, 4)
    return Asked(requests, drawn_columns(columns, "pair", int(offsets[-1]), 5), offsets, drawn(offsets, items))
