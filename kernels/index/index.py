"""A catalogue that is searched often: external ids, additions and removals, a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from headrace.kernels.atomic import replace
from headrace.kernels.checks import check_tensor
from headrace.kernels.edge import FLOATS, IDS, WORDS, takes
from headrace.kernels.forks import Lock
from headrace.kernels.index.catalogue import Catalogue
from headrace.kernels.index.segment import Kind, Segment
from headrace.kernels.index.storage import read_index, write_index
from headrace.kernels.settings import check_call
from headrace.kernels.topk import rounded
from headrace.kernels.topk.checks import check_finite, check_items, check_metric, check_queries
from headrace.kernels.topk.packed import SCANS, Counts

KEEPS = ("memory", "mmap", "none")


class TopKIndex:
    """Exact top-k over a catalogue with ids of its own. Safe from many threads.

    items: float32 [N, d], finite. ids: int64 [N], distinct, at least 0; 0..N-1 where None.
    metric: "ip", "cosine" or "l2", as in `topk`.
    scan: the precision that finds: "float32", "bfloat16" or "int8" (the last two keep a second copy of half or a
        quarter of the size), or "auto": on a CPU the fastest for these items, tried on some of them, on a GPU bfloat16.
        The answers are the same with each.
    keep: where the vectors that decide live. "memory": here, as given. "mmap" (on a CPU): in a file that is written to
        `path`, of which a search reads only what float64 scores. "none" (on a CPU): nowhere. The numbers of the scan,
        "bfloat16" or "int8" ("auto": "int8"), are then all there is, and the vectors that these stand for, `truth`,
        are the items: answers are exact for those.
    path: the file of keep="mmap", which must stay as it is while the index is used.

    The index holds `items` without a copy where their ids rise already: leave them unchanged. A change takes time for
    the items that it touches, not for all; it makes new segments and swaps them in, so a search that runs meanwhile
    sees all of a change or nothing of it. A call that raises changes nothing.

    Raises TypeError or ValueError naming the argument; OSError where `path` cannot be written.
    """

    @takes(items=FLOATS, ids=IDS)
    def __init__(
        self,
        items: Tensor,
        ids: Tensor | None = None,
        metric: str = "ip",
        scan: str = "auto",
        keep: str = "memory",
        path: str | Path | None = None,
    ) -> None:
        check_metric(metric)
        for name, value, known in (("scan", scan, ("auto", *SCANS)), ("keep", keep, KEEPS)):
            if value not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
        check_items(items)
        check_finite("items", items)
        if ids is not None:
            _check_ids(ids, items.device, items.shape[0])
        _check_place(items.device, scan, keep, path)
        kind = Kind(metric, "int8" if keep == "none" and scan == "auto" else scan, keep != "none")
        now = Catalogue(kind, items.shape[1], items.device)
        if len(items):
            now = now.added(Segment.of(items, ids, kind))
        if keep == "mmap":
            assert path is not None
            with replace(path) as place:
                write_index(place, now)
            now = read_index(Path(path), mmap=True, verify=False)
        self._start(now, keep)

    def _start(self, now: Catalogue, keep: str) -> None:
        self.metric, self.scan, self.keep = now.kind.metric, now.kind.scan, keep
        self._change = Lock()
        self._held = now

    @property
    def _catalogue(self) -> Catalogue:
        """As it is now. ValueError where a file that it is mapped from was changed in place."""
        now = self._held
        now.check_files()
        return now

    def __len__(self) -> int:
        return len(self._held)

    @property
    def ids(self) -> Tensor:
        """int64 [rows]: row i of `truth`, and bit i of a mask, belong to ids[i]; -1 where a row has no item.

        The ids rise until something is added; after that, each part that was added or merged has its own run of rows.
        """
        return self._catalogue.ids()

    @property
    def truth(self) -> Tensor:
        """float32 [rows, d] in the order of `ids`: the vectors that decide. As given, or with keep="none" as rounded.

        With metric "cosine" and keep="none", those of items of length 1. Copied, unless one segment holds them all.
        """
        return self._catalogue.truth()

    @property
    def items(self) -> Tensor:
        """The same as `truth`."""
        return self._catalogue.truth()

    @property
    def found_by(self) -> str:
        """The precision that finds now, in the largest segment: "float32", "bfloat16" or "int8"."""
        packed = max(self._held.segments, key=lambda segment: segment.rows).packed if len(self) else None
        return "float32" if packed is None else packed.scan

    @property
    def nbytes(self) -> int:
        """Bytes that the index holds in memory: vectors, packed numbers, ids and bits; not those of a mapped file."""
        return sum(segment.nbytes for segment in self._held.segments)

    @takes(ids=IDS)
    def mask(self, ids: Tensor, allow: bool = True) -> Tensor:
        """The bitset, int64 [words], of the items under `ids` int64 [m], or with allow=False of all others.

        A list for each query, int64 [B, m] padded with -1, gives int64 [B, words]. Ids that the index lacks are passed
        over. A mask is for the index as it is now: a change may move rows, so make it again, or search a `copy`.
        Raises TypeError or ValueError for a wrong dtype, shape or device.
        """
        now = self._catalogue
        check_tensor("ids", ids, dtype=torch.int64, ndim=2 if isinstance(ids, Tensor) and ids.ndim == 2 else 1)
        check_tensor("ids", ids, dtype=torch.int64, ndim=ids.ndim, device=now.device)
        return now.mask(ids, allow)

    @takes(queries=FLOATS, mask=WORDS)
    def search(
        self, queries: Tensor, k: int, mask: Tensor | None = None, *, backend: str = "auto", threads: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Scores float32 [B, k] and ids int64 [B, k] of the k best items, best first; see `topk`.

        Equal scores go to the lower id. mask: as in `topk`, over the rows of `ids`; `mask` makes one from ids.
        """
        return self.search_counted(queries, k, mask, backend=backend, threads=threads)[:2]

    @takes(queries=FLOATS, mask=WORDS)
    def search_counted(
        self, queries: Tensor, k: int, mask: Tensor | None = None, *, backend: str = "auto", threads: int = 0
    ) -> tuple[Tensor, Tensor, Counts | None]:
        """As `search`, and what the search took; None where a scan in float32, or a CUDA graph, does not count."""
        scores, ids, counts = self.search_float64(queries, k, mask, backend=backend, threads=threads)
        return rounded(scores), ids, counts

    @takes(queries=FLOATS, mask=WORDS)
    def search_float64(
        self, queries: Tensor, k: int, mask: Tensor | None = None, *, backend: str = "auto", threads: int = 0
    ) -> tuple[Tensor, Tensor, Counts | None]:
        """As `search_counted`, with the float64 scores that ranked the items: what `merge_best` needs to join parts."""
        check_call(backend, threads)
        now = self._catalogue
        check_queries(queries, k, now.dim, now.device, mask, now.words)
        return now.search(queries, k, mask, backend=backend, threads=threads)

    @takes(items=FLOATS, ids=IDS)
    def add(self, items: Tensor, ids: Tensor) -> None:
        """Adds items float32 [n, d] under `ids` int64 [n]. ValueError where an id is in the index already."""
        segment = self._segment(items, ids)
        with self._change:
            known = self._catalogue.known(ids)
            if bool(known.any()):
                raise ValueError(f"ids: expected new ids, got {int(ids[known][0])}, which the index has")
            if segment is not None:
                self._held = self._catalogue.added(segment)

    @takes(items=FLOATS, ids=IDS)
    def upsert(self, items: Tensor, ids: Tensor) -> None:
        """As `add`, in place of the items that the index has under some of the ids: one change."""
        segment = self._segment(items, ids)
        with self._change:
            if segment is not None:
                self._held = self._catalogue.removed(ids).added(segment)

    @takes(ids=IDS)
    def remove(self, ids: Tensor) -> None:
        """Removes the items under `ids` int64 [n]. ValueError where the index lacks an id; then nothing is removed."""
        check_tensor("ids", ids, dtype=torch.int64, ndim=1, device=self._held.device)
        _check_ids(ids, self._held.device, ids.shape[0])
        with self._change:
            unknown = ~self._catalogue.known(ids)
            if bool(unknown.any()):
                raise ValueError(f"ids: expected ids of the index, got {int(ids[unknown][0])}")
            self._held = self._catalogue.removed(ids)

    def _segment(self, items: Tensor, ids: Tensor) -> Segment | None:
        """What to add, checked; None where it is nothing."""
        now = self._catalogue
        check_items(items, now.device)
        if items.shape[1] != now.dim:
            raise ValueError(f"items: expected {now.dim} columns as in the index, got {items.shape[1]}")
        check_finite("items", items)
        _check_ids(ids, now.device, items.shape[0])
        # A copy: who adds block by block fills the same memory again.
        return Segment.of(items.clone() if now.kind.vectors else items, ids, now.kind) if len(items) else None

    def copy(self) -> TopKIndex:
        """Another index of the same items. They share memory; changes to one do not show in the other."""
        index = type(self).__new__(type(self))
        index._start(self._held, self.keep)
        return index

    def __getstate__(self) -> dict[str, Any]:
        """A pickle or a deep copy is an index in memory: it needs no file."""
        now = self._catalogue
        segments = tuple(dataclasses.replace(segment, file=None) for segment in now.segments)
        keep = "memory" if self.keep == "mmap" else self.keep
        return {**self.__dict__, "keep": keep, "_held": dataclasses.replace(now, segments=segments)}

    def save(self, path: str | Path) -> None:
        """Writes the index, with what it packed, to one file, whole or not at all. OSError where the disk refuses."""
        with replace(path) as place:
            write_index(place, self._catalogue)

    @classmethod
    @takes()
    def load(cls, path: str | Path, mmap: bool = True, verify: bool = True) -> TopKIndex:
        """The index in a file of `save`.

        mmap: leave the items in the file, which must then stay as it is; processes share its pages. What is added later
        lives in memory. A call that finds the file cut short or written to raises ValueError; one that runs meanwhile
        may end the process (SIGBUS). To replace the file, rename another to its name, as `save` does.
        verify: read all of it once and compare checksums, in all threads. False: the head, the table of segments and
        the length alone, which takes no time for any size; damage elsewhere then gives wrong answers.

        Raises ValueError, naming the file and the reason, where it is foreign, cut short, damaged or too new.
        """
        now = read_index(Path(path), mmap, verify)
        index = cls.__new__(cls)
        index._start(now, "none" if not now.kind.vectors else "mmap" if mmap else "memory")
        return index


def _check_ids(ids: Tensor, device: torch.device, count: int) -> None:
    check_tensor("ids", ids, dtype=torch.int64, ndim=1, device=device)
    if ids.shape[0] != count:
        raise ValueError(f"ids: expected {count}, one for each item, got {ids.shape[0]}")
    if bool((ids < 0).any()):
        raise ValueError(f"ids: expected at least 0, got {int(ids.min())}")
    in_order = ids.sort().values
    twice = in_order[1:][in_order[1:] == in_order[:-1]]
    if twice.numel():
        raise ValueError(f"ids: expected distinct ids, got {int(twice[0])} twice")


def _check_place(device: torch.device, scan: str, keep: str, path: str | Path | None) -> None:
    if keep != "memory" and device.type != "cpu":
        raise ValueError(f"keep: expected memory on {device.type}, got {keep!r}")
    if keep == "none" and scan == "float32":
        raise ValueError("scan: expected auto, bfloat16 or int8 with keep='none', got 'float32'")
    if (path is None) == (keep == "mmap"):
        raise ValueError(f"path: expected {'a file' if path is None else 'none'} with keep={keep!r}, got {path}")
