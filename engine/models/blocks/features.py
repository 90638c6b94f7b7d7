"""From columns to what a network reads: vectors of fields, means of sequences, statistics."""

from __future__ import annotations

import itertools
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
    """What was read of n candidates' columns, by side; sides without any are absent.

    fields: float32 [n, F, dim]: of each code column; beside them, for the request, the mean of each sequence, and for
    the item, its content through a linear layer. statistics: float32 [n, S]. user, item: float32 [n, dim], or None.
    sequences: (vectors [n, L, dim], present bool [n, L]) of each sequence; means: float32 [n, dim] each.
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

    project: whether content goes through a linear layer and is a field; if not, it is left to the network.
    counts: fields of each side; widths: statistics of each side; content_width: of the content, 0 where there is none.
    Raises ValueError where nothing is there to read, or a sequence lists the codes of no column.
    """

    def __init__(self, columns: Columns, dim: int, project: bool = True) -> None:
        super().__init__()
        self.dim = dim
        by_side = {side: columns.of("code", side) for side in SIDES}
        codes = [column for side in SIDES for column in by_side[side]]
        self.codes = [column.name for column in codes]
        self.embedding = FieldEmbedding(codes, dim) if codes else None
        self.sequences = [column.name for column in columns.of("sequence") if column.of == "item"]
        if self.sequences and "item" not in self.codes:
            raise ValueError(f"columns: expected a code column 'item', whose codes {self.sequences[0]!r} lists")
        dense = {side: [c for c in columns.of("dense", side) if c.name != CONTENT] for side in SIDES}
        self.statistics = {side: [column.name for column in dense[side]] for side in SIDES}
        self.widths = {side: sum(column.size for column in dense[side]) for side in SIDES}
        self.content_width = sum(column.size for column in columns.of("dense") if column.name == CONTENT)
        self.content = nn.Linear(self.content_width, dim, bias=False) if self.content_width and project else None
        ends = list(itertools.accumulate(len(by_side[side]) for side in SIDES))
        self.spans = {side: slice(end - len(by_side[side]), end) for side, end in zip(SIDES, ends, strict=True)}
        self.counts = {side: len(by_side[side]) for side in SIDES}
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
            for side, span in self.spans.items():
                if span.stop > span.start:
                    fields[side].append(each[:, span])
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
