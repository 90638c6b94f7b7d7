"""A catalogue that is searched often: external ids, additions and removals, a file."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from headrace.kernels import settings
from headrace.kernels.checks import check_tensor
from headrace.kernels.topk.checks import check_finite, check_items, check_metric, check_search
from headrace.kernels.topk.packed import SCANS, Counts, Packed, fastest
from headrace.kernels.topk.storage import Stored, read_index, write_index

KEEPS = ("memory",)


@dataclass(frozen=True)
class Catalogue:
    """items: float32 [N, d], rows in rising order of id. ids: int64 [N + 1], the last one -1: what row -1 maps to.

    packed: the same items in low precision, None where float32 finds.
    """

    items: Tensor
    ids: Tensor
    packed: Packed | None = None


class TopKIndex:
    """Exact top-k over a catalogue with ids of its own. Safe from many threads.

    items: float32 [N, d], finite. ids: int64 [N], distinct, at least 0; 0..N-1 where None.
    metric: "ip", "cosine" or "l2", as in `topk`.
    scan: the precision that finds: "float32", "bfloat16" or "int8" (the last two keep a second copy of half or a
        quarter of the size), or "auto": on a CPU the fastest for these items, tried on some of them, on a GPU bfloat16.
        The answers are the same with each.
    keep: where the vectors live, "memory"; an index from `load(path, mmap=True)` keeps them in its file.

    The index holds `items` without a copy where their ids rise already: leave them unchanged. `add` and `remove` build
    a new catalogue and swap it in, so a search that runs meanwhile sees all of a change or nothing of it.

    Raises TypeError or ValueError naming the argument.
    """

    def __init__(
        self, items: Tensor, ids: Tensor | None = None, metric: str = "ip", scan: str = "auto", keep: str = "memory"
    ) -> None:
        check_metric(metric)
        for name, value, known in (("scan", scan, ("auto", *SCANS)), ("keep", keep, KEEPS)):
            if value not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
        check_items(items)
        check_finite("items", items)
        ids = torch.arange(items.shape[0], device=items.device) if ids is None else ids
        _check_ids(ids, items.device, items.shape[0])
        self.metric = metric
        self.scan = scan
        self.keep = keep
        self._change = threading.Lock()
        self._catalogue = self._packed(_in_order(items.detach(), ids))

    def __len__(self) -> int:
        return self._catalogue.items.shape[0]

    @property
    def ids(self) -> Tensor:
        """int64 [N], rising. Row i of `items`, and bit i of a mask, belong to ids[i]."""
        return self._catalogue.ids[:-1]

    @property
    def items(self) -> Tensor:
        """float32 [N, d] in the order of `ids`."""
        return self._catalogue.items

    @property
    def found_by(self) -> str:
        """The precision that finds now: "float32", "bfloat16" or "int8"."""
        packed = self._catalogue.packed
        return "float32" if packed is None else packed.scan

    def search(
        self, queries: Tensor, k: int, mask: Tensor | None = None, backend: str = "auto", threads: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Scores float32 [B, k] and ids int64 [B, k] of the k best items, best first; see `topk`.

        Equal scores go to the lower id. mask: as in `topk`, over the items in the order of `ids`.
        """
        return self.search_counted(queries, k, mask, backend, threads)[:2]

    def search_counted(
        self, queries: Tensor, k: int, mask: Tensor | None = None, backend: str = "auto", threads: int = 0
    ) -> tuple[Tensor, Tensor, Counts | None]:
        """As `search`, and what the search took; None where a scan in float32, or a CUDA graph, does not count."""
        scores, ids, counts = self.search_float64(queries, k, mask, backend, threads)
        return scores.float(), ids, counts

    def search_float64(
        self, queries: Tensor, k: int, mask: Tensor | None = None, backend: str = "auto", threads: int = 0
    ) -> tuple[Tensor, Tensor, Counts | None]:
        """As `search_counted`, with the float64 scores that ranked the items: what `merge_best` needs to join parts."""
        now = self._catalogue
        check_search(queries, now.items, k, self.metric, mask)
        if now.packed is None or not self._low_precision_serves(backend):
            scores, rows = torch.ops.headrace.topk(queries.detach(), now.items, k, self.metric, mask, backend, threads)
            return scores, now.ids[rows], None
        scores, rows, counts = now.packed.search(queries, now.items, k, self.metric, mask, backend, threads)
        return scores, now.ids[rows], counts

    def _low_precision_serves(self, backend: str) -> bool:
        on_cpu = self.items.device.type == "cpu"
        asked = settings.backend_setting() if backend == "auto" else backend
        if asked not in ("auto", "native" if on_cpu else "gpu"):
            return False
        # Without vectors, low precision is slower than float32.
        return self.scan != "auto" or not on_cpu or settings.get_isa() != "scalar"

    def _packed(self, now: Catalogue, before: Catalogue | None = None) -> Catalogue:
        """`now` with its low-precision copy, taking from `before` what has not changed."""
        known = None if before is None else before.packed
        if self.scan == "float32":
            return now
        if known is None and self.scan == "auto":
            return replace(now, packed=fastest(now.items, self.metric))
        scan = self.scan if known is None else known.scan
        same = 0 if before is None else _same_rows(before, now)
        return replace(now, packed=Packed.of(now.items, self.metric, scan, known, same))

    def add(self, items: Tensor, ids: Tensor) -> None:
        """Adds items float32 [n, d] under `ids` int64 [n]. ValueError where an id is in the index already."""
        device, dim = self.items.device, self.items.shape[1]
        check_items(items, device)
        if items.shape[1] != dim:
            raise ValueError(f"items: expected {dim} columns as in the index, got {items.shape[1]}")
        check_finite("items", items)
        _check_ids(ids, device, items.shape[0])
        with self._change:
            known = torch.isin(ids, self.ids)
            if bool(known.any()):
                raise ValueError(f"ids: expected new ids, got {int(ids[known][0])}, which the index has")
            before = self._catalogue
            after = _in_order(torch.cat([self.items, items.detach()]), torch.cat([self.ids, ids]))
            self._catalogue = self._packed(after, before)
            self.keep = "memory"

    def remove(self, ids: Tensor) -> None:
        """Removes the items under `ids` int64 [n]. ValueError where the index lacks an id; then nothing is removed."""
        check_tensor("ids", ids, dtype=torch.int64, ndim=1, device=self.items.device)
        _check_ids(ids, self.items.device, ids.shape[0])
        with self._change:
            unknown = ~torch.isin(ids, self.ids)
            if bool(unknown.any()):
                raise ValueError(f"ids: expected ids of the index, got {int(ids[unknown][0])}")
            stays = ~torch.isin(self.ids, ids)
            before = self._catalogue
            self._catalogue = self._packed(_in_order(self.items[stays], self.ids[stays]), before)
            self.keep = "memory"

    def save(self, path: str | Path) -> None:
        """Writes the index, with what it packed, to one file, whole or not at all. OSError where the disk refuses."""
        now, packed = self._catalogue, self._catalogue.packed
        if packed is not None and now.items.device.type != "cpu":
            packed = Packed.of(now.items.cpu(), self.metric, packed.scan)  # a file is for CPUs
        write_index(Path(path), Stored(now.items, now.ids, packed, self.metric, self.scan))

    @classmethod
    def load(cls, path: str | Path, mmap: bool = True, verify: bool | None = None) -> TopKIndex:
        """The index in a file of `save`.

        mmap: leave the vectors in the file, which must then stay as it is; processes share its pages.
        verify: read the whole file to check it; None: unless it is mapped, which then takes no time for any size. The
        head and the length are always checked.

        Raises ValueError, naming the file and the reason, where it is foreign, cut short, damaged or too new.
        """
        stored = read_index(Path(path), mmap, not mmap if verify is None else verify)
        index = cls.__new__(cls)
        index.metric, index.scan, index.keep = stored.metric, stored.scan, "mmap" if mmap else "memory"
        index._change = threading.Lock()
        index._catalogue = Catalogue(stored.items, stored.ids, stored.packed)
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


def _in_order(items: Tensor, ids: Tensor) -> Catalogue:
    """Rows by rising id, so that a tie between rows is a tie between ids."""
    if bool((ids.diff() < 0).any()):
        order = ids.argsort()
        items, ids = items[order], ids[order]
    return Catalogue(items.contiguous(), torch.cat([ids, ids.new_tensor([-1])]))


def _same_rows(before: Catalogue, after: Catalogue) -> int:
    """How many of the first rows hold the same items in both."""
    shared = min(len(before.ids), len(after.ids)) - 1
    differ = before.ids[:shared] != after.ids[:shared]
    return int(differ.int().argmax()) if bool(differ.any()) else shared
