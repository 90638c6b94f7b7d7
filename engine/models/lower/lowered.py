"""A network as a program, with what serving has to give it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headrace.kernels.memory import zeros_on_huge_pages
from headrace.kernels.network import Precision, Program, Stage, network
from headrace.kernels.network.reference import Sources, run
from headrace.models.lower.emit import Spaces
from headrace.models.lower.graph import Input, Lookup, Piece
from headrace.models.lower.split import CodeRows
from headrace.models.lower.trace import Listed

#: Items at a time: their columns stay in the cache.
_CHUNK = 1 << 10
#: Numbers of a cache line.
_LINE = 16


@dataclass(frozen=True)
class Dense:
    """A part of a stage's inputs: `count` numbers of a dense column, from `first` on."""

    column: str
    first: int
    count: int

    def read(self, columns: Mapping[str, Tensor]) -> Tensor:
        """float32 [m, count]."""
        return columns[self.column][:, self.first : self.first + self.count]


@dataclass(frozen=True)
class Embedded:
    """A part of a stage's inputs: the rows of `table` that code columns say, `starts` (int64 [F]) added, and of all of
    them together the numbers from `first` on."""

    names: tuple[str, ...]
    table: Tensor
    starts: Tensor
    first: int
    count: int

    def read(self, columns: Mapping[str, Tensor]) -> Tensor:
        """float32 [m, count]."""
        rows = torch.stack([columns[name] for name in self.names], 1) + self.starts
        vectors = (
            self.table.detach().index_select(0, rows.flatten()).view(len(rows), rows.shape[1] * self.table.shape[1])
        )
        return vectors[:, self.first : self.first + self.count]


Source = Dense | Embedded


@dataclass(frozen=True)
class CodeColumn:
    """A code column of the pair: its codes, `start` added, are rows of the rows of codes."""

    column: str
    start: int


@dataclass(frozen=True)
class Lowered:
    """A network, lowered. Its weights are float64 until `program` rounds them, once.

    request, pair: the stages of the program. item: the stage that gives an item's row from its inputs. The methods take
    columns by name, as `headrace.models.Model` does: of m requests, items or candidates, whichever they are of.
    """

    request: Stage
    item: Stage
    pair: Stage
    weights: Tensor
    code_rows: Tensor
    request_sources: tuple[Source, ...]
    item_sources: tuple[Source, ...]
    pair_sources: tuple[Source, ...]
    code_columns: tuple[CodeColumn, ...]
    sequences: tuple[Listed, ...]
    precision: Precision = "float32"

    def request_inputs(self, columns: Mapping[str, Tensor], requests: int) -> Tensor:
        """float32 [B, R], from the columns of B requests."""
        return _read(self.request_sources, columns, requests)

    def pair_inputs(self, columns: Mapping[str, Tensor], candidates: int) -> Tensor:
        """float32 [n, D], from the columns of the pair."""
        return _read(self.pair_sources, columns, candidates)

    def codes(self, columns: Mapping[str, Tensor], candidates: int) -> Tensor:
        """int32 [n, F], from the columns of the pair: rows of the program's `code_rows`."""
        parts = [columns[column.column].int() + column.start for column in self.code_columns]
        device = self.weights.device
        return torch.stack(parts, 1) if parts else torch.zeros(candidates, 0, dtype=torch.int32, device=device)

    def entries(self, columns: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
        """(float32 [B, N, d], int32 [B]) of each sequence, from the columns of B requests, whose codes end in zeros."""
        lists = []
        for listed in self.sequences:
            codes = columns[listed.column]
            counts = (codes > 0).sum(1, dtype=torch.int32)
            lists.append((listed.table.detach()[codes.long() + listed.start], counts))
        return lists

    def item_inputs(self, columns: Mapping[str, Tensor], items: int) -> Tensor:
        """float32 [items, I'], from the columns of items."""
        return _read(self.item_sources, columns, items)

    def item_rows(self, columns: Mapping[str, Tensor], items: int) -> Tensor:
        """float32 [items, I], from the columns of all items: computed in float64, rounded once; zeros fill a row up to
        whole cache lines, so that none lies on more of them than it must."""
        width = -(-self.item.width // _LINE) * _LINE
        out = zeros_on_huge_pages(items * width, torch.float32, torch.device("cpu")).view(items, width)
        for first in range(0, items, _CHUNK):
            part = slice(first, min(first + _CHUNK, items))
            chunk = {name: values[part] for name, values in columns.items()}
            out[part, : self.item.width] = self.exact_items(chunk, part.stop - first)
        return out

    def exact_items(self, columns: Mapping[str, Tensor], items: int) -> Tensor:
        """float64 [items, I], not rounded."""
        stage, inputs = self.item, self.item_inputs(columns, items).double()
        return run(stage.code, stage.columns, stage.out, stage.width, Sources(self.weights, inputs))

    def program(self, item_rows: Tensor) -> Program:
        """The program over these rows of items."""
        return Program(
            self.request,
            self.pair,
            self.weights.float(),
            item_rows,
            self.code_rows.float(),
            request_inputs=sum(source.count for source in self.request_sources),
            pair_inputs=sum(source.count for source in self.pair_sources),
            fields=len(self.code_columns),
            sequences=tuple(listed.table.shape[1] for listed in self.sequences),
            precision=self.precision,
        )

    def with_items(self, columns: Mapping[str, Tensor], items: int) -> Ready:
        """The network over a snapshot's items, from their columns."""
        return Ready(self, self.program(self.item_rows(columns, items)))


@dataclass(frozen=True)
class Ready:
    """A lowered network with the rows of a snapshot's items."""

    lowered: Lowered
    program: Program

    def __call__(
        self,
        request: Mapping[str, Tensor],
        pair: Mapping[str, Tensor],
        offsets: Tensor,
        item: Tensor,
        backend: str = "auto",
        threads: int = 0,
    ) -> Tensor:
        """float32 [n, T] logits, one target after another in memory.

        request: columns of B requests. pair: columns of n candidates; request b owns those from offsets[b] to
        offsets[b + 1] (int64 [B + 1]). item: int64 [n], rows of the catalogue.
        """
        return network(
            self.program,
            request=self.lowered.request_inputs(request, len(offsets) - 1),
            offsets=offsets,
            item=item,
            codes=self.lowered.codes(pair, len(item)),
            pair=self.lowered.pair_inputs(pair, len(item)),
            sequences=self.lowered.entries(request),
            backend=backend,
            threads=threads,
        )


def sources_of(pieces: Sequence[Piece]) -> tuple[Source, ...]:
    """Where the inputs of a stage come from; neighbours of one table are read in one go."""
    sources: list[Source] = []
    for value, first, count in pieces:
        assert isinstance(value, Input)
        if value.table is None:
            sources.append(Dense(value.column, first, count))
            continue
        here = Embedded((value.column,), value.table, torch.tensor([value.start]), first, count)
        last = sources[-1] if sources else None
        if isinstance(last, Embedded) and last.table is here.table and count == value.width and _is_whole(last):
            starts = torch.cat([last.starts, here.starts])
            sources[-1] = Embedded((*last.names, value.column), last.table, starts, 0, last.count + count)
        else:
            sources.append(here)
    return tuple(sources)


def _is_whole(source: Embedded) -> bool:
    return source.count == len(source.names) * source.table.shape[1]


def rows_of_codes(spaces: Spaces) -> tuple[Tensor, tuple[CodeColumn, ...]]:
    """float64 [codes, C] of all code columns of the pair, and where each column's rows start."""
    sizes: dict[str, int] = {}
    for rows in spaces.codes:
        for lookup in (_lookup(term.piece) for term in rows.terms):
            sizes[lookup.column] = max(lookup.size, sizes.get(lookup.column, 0))
    starts = dict(zip(sizes, torch.tensor([0, *sizes.values()]).cumsum(0).tolist(), strict=False))
    table = torch.zeros(sum(sizes.values()), sum(rows.width for rows in spaces.codes), dtype=torch.float64)
    for rows in spaces.codes:
        _fill(table, rows, starts, spaces.code_place(rows))
    return table, tuple(CodeColumn(column, start) for column, start in starts.items())


def _fill(table: Tensor, rows: CodeRows, starts: Mapping[str, int], at: int) -> None:
    for number, term in enumerate(rows.terms):
        lookup = _lookup(term.piece)
        block = table[starts[lookup.column] :][: lookup.size, at : at + rows.width]
        own = lookup.table.detach()[lookup.start : lookup.start + lookup.size].double()
        block += own[:, term.piece.first : term.piece.first + term.piece.size] @ term.matrix(rows.width)
        if number == 0 and rows.bias is not None:
            block += rows.bias


def _lookup(piece: Piece) -> Lookup:
    assert isinstance(piece.value, Lookup)
    return piece.value


def _read(sources: Sequence[Source], columns: Mapping[str, Tensor], rows: int) -> Tensor:
    parts = [source.read(columns) for source in sources]
    return torch.cat(parts, 1) if parts else torch.zeros(rows, 0, dtype=torch.float32)
