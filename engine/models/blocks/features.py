"""From columns to what a network reads: vectors of fields, means of sequences, statistics."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headrace.features.columns import Columns, Side
from headrace.models.blocks.embedding import FieldEmbedding
from headrace.models.blocks.sequences import mean_of_sequence

SIDES: tuple[Side, ...] = ("request", "item", "pair")
#: Dense column of the items' content vectors; every other dense column holds statistics.
CONTENT = "content"


@dataclass(frozen=True)
class Read:
    """What was read of n candidates' columns, by side.

    fields: float32 [n, F, dim]: of each code column; beside them, for the request, the mean of each sequence, and for
    the item, its content through a linear layer. statistics: float32 [n, S]. Sides without any are absent.
    user, item: float32 [n, dim], or None. sequences: (vectors [n, L, dim], present bool [n, L]) of each sequence.
    """

    fields: dict[Side, Tensor]
    statistics: dict[Side, Tensor]
    user: Tensor | None
    item: Tensor | None
    sequences: list[tuple[Tensor, Tensor]]
    means: list[Tensor]

    def joined(self, *sides: Side) -> Tensor:
        """float32 [n, width]: fields and then statistics of some sides (none given: of all)."""
        named = sides or SIDES
        parts = [self.fields[side].flatten(1) for side in named if side in self.fields]
        return torch.cat([*parts, *(self.statistics[side] for side in named if side in self.statistics)], 1)

    def all_fields(self) -> Tensor:
        """float32 [n, F, dim] of all sides."""
        return torch.cat([self.fields[side] for side in SIDES if side in self.fields], 1)

    def all_statistics(self) -> Tensor:
        """float32 [n, S] of all sides."""
        return torch.cat([self.statistics[side] for side in SIDES if side in self.statistics], 1)


class Features(nn.Module):
    """Reads columns, with one embedding table for all code columns and for the sequences of items.

    counts: fields of each side; widths: statistics of each side. Raises ValueError where nothing is left to read, or a
    sequence lists the codes of no column.
    """

    def __init__(self, columns: Columns, dim: int) -> None:
        super().__init__()
        self.dim = dim
        codes = [column for side in SIDES for column in columns.of("code", side)]
        self.codes = [column.name for column in codes]
        self.embedding = FieldEmbedding(codes, dim) if codes else None
        self.sequences = [column.name for column in columns.of("sequence") if column.of == "item"]
        if self.sequences and "item" not in self.codes:
            raise ValueError(f"columns: expected a code column 'item', whose codes {self.sequences[0]!r} lists")
        dense = {side: columns.of("dense", side) for side in SIDES}
        self.statistics = {side: [c.name for c in dense[side] if c.name != CONTENT] for side in SIDES}
        self.widths = {side: sum(c.size for c in dense[side] if c.name != CONTENT) for side in SIDES}
        width = sum(column.size for column in dense["item"] if column.name == CONTENT)
        self.content = nn.Linear(width, dim, bias=False) if width else None
        self.counts: dict[Side, int] = {side: len(columns.of("code", side)) for side in SIDES}
        self.starts = {"request": 0, "item": self.counts["request"], "pair": len(codes) - self.counts["pair"]}
        self.ends = {side: start + self.counts[side] for side, start in self.starts.items()}  # type: ignore[index]
        self.counts["request"] += len(self.sequences)
        self.counts["item"] += self.content is not None
        if not self.width():
            raise ValueError(f"columns: expected codes or statistics, got {[column.name for column in columns]}")

    def width(self, *sides: Side) -> int:
        """The width of `Read.joined`."""
        return sum(self.counts[side] * self.dim + self.widths[side] for side in sides or SIDES)

    def forward(self, columns: dict[str, Tensor]) -> Read:
        fields: dict[Side, list[Tensor]] = {side: [] for side in SIDES}
        vectors: dict[str, Tensor] = {}
        sequences = []
        if self.embedding is not None:
            each = self.embedding([columns[name] for name in self.codes])
            for side in SIDES:
                if self.ends[side] > self.starts[side]:
                    fields[side].append(each[:, self.starts[side] : self.ends[side]])
            vectors = {name: each[:, self.codes.index(name)] for name in ("user", "item") if name in self.codes}
            sequences = [(self.embedding(columns[name], field="item"), columns[name] > 0) for name in self.sequences]
        means = [mean_of_sequence(sequence, present) for sequence, present in sequences]
        fields["request"] += [mean[:, None] for mean in means]
        if self.content is not None:
            fields["item"].append(self.content(columns[CONTENT])[:, None])
        return Read(
            {side: torch.cat(parts, 1) for side, parts in fields.items() if parts},
            {side: torch.cat([columns[name] for name in names], 1) for side, names in self.statistics.items() if names},
            vectors.get("user"),
            vectors.get("item"),
            sequences,
            means,
        )
