"""A part of a top-k index. It never changes; a change makes another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from headrace.kernels import settings
from headrace.kernels.index.mapped import MappedFile
from headrace.kernels.index.masks import all_rows, bits_of, has_bit, rows_in, words_of
from headrace.kernels.topk import OP
from headrace.kernels.topk.packed import TILE, Counts, Packed, block_rows, pack


class Kind(NamedTuple):
    """How an index holds its items. scan: as asked for. vectors: False where packed numbers are all there is."""

    metric: str
    scan: str
    vectors: bool


class Answer(NamedTuple):
    """scores: float64 [B, k]. ids: int64 [B, k]. counts: None where the scan does not count."""

    scores: Tensor
    ids: Tensor
    counts: Counts | None


@dataclass(frozen=True)
class Segment:
    """Rows in rising order of id, so that a tie between rows is a tie between ids.

    first, ids: the id of the first row where the others follow it by ones, and None; or -1, and int64 [rows + 1], the
    last one -1: what row -1 maps to. vectors: float32 [rows, d], None where packed numbers decide. packed: the same
    items in low precision, None where float32 finds. live: the rows not removed, as bits; None where all are there.
    count: how many these are. file: what holds it, None for memory.
    """

    rows: int
    first: int
    ids: Tensor | None
    vectors: Tensor | None
    packed: Packed | None
    live: Tensor | None
    count: int
    file: MappedFile | None = None

    @classmethod
    def of(cls, items: Tensor, ids: Tensor | None, kind: Kind) -> Segment:
        """items: float32 [n, d], n at least 1. ids: int64 [n], distinct, in any order; None: 0 to n - 1."""
        first, names, order = 0, None, None
        if ids is not None:
            first, names, order = in_order(ids)
        items = items.detach() if order is None else items.detach()[order]
        items = items.contiguous()
        packed = pack(items, kind.metric, kind.scan) if kind.vectors else Packed.alone(items, kind.metric, kind.scan)
        return cls(len(items), first, names, items if kind.vectors else None, packed, None, len(items))

    @property
    def words(self) -> int:
        return words_of(self.rows)

    @property
    def nbytes(self) -> int:
        """Bytes of memory outside a file."""
        held = [self.ids, self.vectors, None if self.packed is None else self.packed.data]
        return sum(part.nbytes for part in (held if self.file is None else []) + [self.live] if part is not None)

    @property
    def _device(self) -> torch.device:
        return torch.device("cpu") if self.vectors is None else self.vectors.device

    def ids_of(self, rows: Tensor) -> Tensor:
        """int64 like `rows`; -1 where the row is -1."""
        if self.ids is not None:
            return self.ids[rows]
        return rows + self.first * (rows >= 0) if self.first else rows

    @property
    def id_range(self) -> tuple[int, int]:
        """First and last id, those of removed items included."""
        return (self.first, self.first + self.rows - 1) if self.ids is None else (int(self.ids[0]), int(self.ids[-2]))

    def find(self, ids: Tensor) -> Tensor:
        """int64 like `ids`: the rows of these items, -1 where there is none."""
        if self.ids is None:
            rows = ids - self.first
            there = (rows >= 0) & (rows < self.rows)
        else:
            rows = torch.searchsorted(self.ids[:-1], ids.contiguous())
            there = (self.ids[rows] == ids) & (ids >= 0)
        if self.live is not None:
            there &= has_bit(self.live, rows.where(there, 0))
        return rows.where(there, -1)

    def live_bits(self) -> Tensor:
        """int64 [words]."""
        return all_rows(self.rows, self._device) if self.live is None else self.live

    def live_rows(self) -> Tensor:
        """int64 [count], rising."""
        return rows_in(self.live_bits()) if self.live is not None else torch.arange(self.rows, device=self._device)

    def vectors_of(self, rows: Tensor, metric: str, dim: int) -> Tensor:
        """float32 [n, d]: what decides about `rows` int64 [n], distinct and rising."""
        if self.vectors is not None:
            # Copying all in order is much cheaper than gathering.
            return self.vectors if len(rows) == self.rows else self.vectors.index_select(0, rows)
        assert self.packed is not None
        return self.packed.unpack(rows, dim, metric)

    def without(self, rows: Tensor) -> Segment:
        """The same less `rows` int64 [n], distinct and live."""
        return replace(self, live=self.live_bits() & ~bits_of(rows, self.words), count=self.count - len(rows))

    def search(self, queries: Tensor, k: int, kind: Kind, mask: Tensor | None, *, backend: str, threads: int) -> Answer:
        """As `topk`, in ids. mask: int64 or uint64 words over the rows, [words] or [B, words]."""
        if self.live is not None:
            mask = self.live if mask is None else mask.view(torch.int64) & self.live
        if self.packed is None or (self.vectors is not None and not self._low_precision_serves(kind.scan, backend)):
            found = OP(queries.detach(), self.vectors, k, kind.metric, mask, backend=backend, threads=threads)
            scores, rows = found
            return Answer(scores, self.ids_of(rows), None)
        scores, rows, counts = self.packed.search(
            queries, self.vectors, k, kind.metric, mask, backend=backend, threads=threads
        )
        return Answer(scores, self.ids_of(rows), counts)

    def _low_precision_serves(self, scan: str, backend: str) -> bool:
        on_cpu = self._device.type == "cpu"
        asked = settings.backend_setting() if backend == "auto" else backend
        if asked not in ("auto", "native" if on_cpu else "gpu"):
            return False
        # Without vectors, low precision is slower than float32.
        return scan != "auto" or not on_cpu or settings.get_isa() != "scalar"

    def on_cpu(self, metric: str) -> Segment:
        """The same in a CPU's memory, packed for it."""
        if self._device.type == "cpu":
            return self
        assert self.vectors is not None
        vectors = self.vectors.cpu()
        return replace(
            self,
            ids=None if self.ids is None else self.ids.cpu(),
            vectors=vectors,
            packed=None if self.packed is None else Packed.of(vectors, metric, self.packed.scan),
            live=None if self.live is None else self.live.cpu(),
        )


def in_order(ids: Tensor) -> tuple[int, Tensor | None, Tensor | None]:
    """`first` and `ids` of a segment of these ids, and the order that makes them rise, None where they do."""
    order = None
    if bool((ids.diff() < 0).any()):
        ids, order = ids.sort()
    if int(ids[-1] - ids[0]) == len(ids) - 1:
        return int(ids[0]), None, order
    return -1, torch.cat([ids, ids.new_tensor([-1])]), order


def merged(parts: Sequence[Segment], kind: Kind, dim: int) -> Segment:
    """One segment of all that is live in `parts`, which is something."""
    rows = [part.live_rows() for part in parts]
    ids = torch.cat([part.ids_of(own) for part, own in zip(parts, rows, strict=True)])
    if kind.vectors:
        held = [part.vectors_of(own, kind.metric, dim) for part, own in zip(parts, rows, strict=True)]
        return Segment.of(torch.cat(held), ids, kind)
    first, names, order = in_order(ids)
    whole = all(part.live is None for part in parts) and all(part.rows % TILE == 0 for part in parts[:-1])
    if order is None and whole:
        blocks: Iterable[Packed] = (part.packed for part in parts if part.packed is not None)
    else:
        order = torch.arange(len(ids), device="cpu") if order is None else order
        blocks = _packed_again(parts, rows, order, kind, dim)
    packed = Packed.joined(blocks, len(ids), dim, kind.metric, kind.scan)
    return Segment(len(ids), first, names, None, packed, None, len(ids))


def _packed_again(
    parts: Sequence[Segment], rows: Sequence[Tensor], order: Tensor, kind: Kind, dim: int
) -> Iterator[Packed]:
    """Blocks of the `rows` of `parts`, one part's after another's, in `order`: few vectors are unpacked at a time."""
    places = torch.cat([torch.full_like(own, at) for at, own in enumerate(rows)])
    every = torch.cat(list(rows))
    for chosen in order.split(block_rows(dim)):
        place, row = places[chosen], every[chosen]
        vectors = torch.empty(len(chosen), dim, dtype=torch.float32, device="cpu")
        for at, part in enumerate(parts):
            mine = (place == at).nonzero().squeeze(1)
            vectors.index_copy_(0, mine, part.vectors_of(row[mine], kind.metric, dim))
        yield Packed.of(vectors, kind.metric, kind.scan, rounded=True)
