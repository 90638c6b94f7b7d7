"""A catalogue kept a second time in low precision, which finds what the vectors as given then decide."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from headrace.kernels import settings
from headrace.kernels.memory import zeros_on_huge_pages
from headrace.kernels.registry import Op
from headrace.kernels.topk.checks import METRICS

#: In the order of the C interface (cpp/topk/topk.h). The last two keep packed vectors.
SCANS = ("float32", "bfloat16", "int8")
TILE = 256
_BLOCK = 2**24
_SAMPLE = 16
_K = 100
#: Products that a scan in low precision does in the time that float64 takes for one pair of vectors.
_PRODUCTS_OF_A_PAIR = 20_000

OP = Op(
    "topk_packed",
    "headrace.kernels.topk",
    "exact top-k, found by a low-precision copy of the catalogue",
    ("scalar", "avx2", "avx512", "amx"),
)


class Counts(NamedTuple):
    """What a search did.

    rescored: query-item pairs that float64 scored. widened: how often a query's scan left more near ties than it has
    room for, so that float64 had to thin them out before the end.
    """

    rescored: int
    widened: int


@dataclass(frozen=True)
class Packed:
    """scan: "bfloat16" or "int8". count: items in it.

    data: uint8, as `hr_topk_pack` in cpp/topk/topk.h lays it out, or packed_gpu.py.
    """

    scan: str
    data: Tensor
    count: int

    @classmethod
    def of(cls, items: Tensor, metric: str, scan: str, rounded: bool = False) -> Packed:
        """Packs float32 [N, d] on their device. rounded (on a CPU): as `unpack` gave them, and not rounded again."""
        if items.device.type != "cpu":
            from headrace.kernels.topk import packed_gpu  # needs triton

            return cls(scan, packed_gpu.pack(items, metric, scan), items.shape[0])
        data = _room(len(items), items.shape[1], metric, scan)
        kind = (METRICS.index(metric), SCANS.index(scan))
        settings.extension().topk_pack(items.numpy(), *kind, rounded, 0, data.numpy())
        return cls(scan, data, items.shape[0])

    @classmethod
    def alone(cls, items: Tensor, metric: str, scan: str) -> Packed:
        """Packs float32 [N, d] so that the packed numbers decide: as if the items were what these stand for."""
        count, dim = items.shape
        first = (cls.of(block, metric, scan) for block in items.split(block_rows(dim)))
        rounded = (block.unpack(torch.arange(block.count, device="cpu"), dim, metric) for block in first)
        return cls.joined((cls.of(block, metric, scan, rounded=True) for block in rounded), count, dim, metric, scan)

    @classmethod
    def joined(cls, blocks: Iterable[Packed], count: int, dim: int, metric: str, scan: str) -> Packed:
        """What `of` makes of the `count` items of all blocks. Each block but the last holds a multiple of TILE."""
        data = _room(count, dim, metric, scan)
        at = 0
        for block in blocks:
            data[at : at + block.data.numel()] = block.data
            at += block.data.numel()
        return cls(scan, data, count)

    def unpack(self, rows: Tensor, dim: int, metric: str) -> Tensor:
        """float32 [n, dim]: the vectors that the numbers of `rows` int64 [n] stand for."""
        vectors = torch.empty(len(rows), dim, dtype=torch.float32, device="cpu")
        settings.extension().topk_unpack(
            *(self.data.numpy(), self.count, METRICS.index(metric), SCANS.index(self.scan)),
            *(rows.int().numpy(), 0, vectors.numpy()),
        )
        return vectors

    def search(
        self,
        queries: Tensor,
        items: Tensor | None,
        k: int,
        metric: str,
        mask: Tensor | None,
        *,
        backend: str,
        threads: int,
    ) -> tuple[Tensor, Tensor, Counts | None]:
        """As `topk`, with scores in float64, and what it took, None while a CUDA graph is captured.

        The arguments must have passed the checks of `topk`. items: None where the packed numbers decide.
        """
        packed = queries.detach(), items, self.data, self.count, k, metric, self.scan, mask
        scores, rows, counts = OP(*packed, backend=backend, threads=threads)
        if counts.is_cuda and torch.cuda.is_current_stream_capturing():
            return scores, rows, None
        return scores, rows, Counts(*counts.tolist())


def packed_bytes(count: int, dim: int, metric: str, scan: str) -> int:
    size: int = settings.extension().topk_packed_bytes(count, dim, METRICS.index(metric), SCANS.index(scan))
    return size


def _room(count: int, dim: int, metric: str, scan: str) -> Tensor:
    return zeros_on_huge_pages(packed_bytes(count, dim, metric, scan), torch.uint8, torch.device("cpu"))


def block_rows(dim: int) -> int:
    """Rows, a multiple of TILE, that are packed at a time where all of them in float32 would be too many."""
    return max(_BLOCK // dim // TILE, 1) * TILE


def pack(items: Tensor, metric: str, scan: str) -> Packed | None:
    """The copy of float32 [N, d] that finds, on their device; None where they find themselves. scan: or "auto"."""
    if scan == "float32":
        return None
    return fastest(items, metric) if scan == "auto" else Packed.of(items, metric, scan)


def fastest(items: Tensor, metric: str) -> Packed | None:
    """The lowest precision whose near ties cost less than it saves, tried on some of the items; None: float32.

    On a GPU bfloat16, whose bound is narrow for all dimensions.
    """
    if items.device.type != "cpu":
        return Packed.of(items, metric, "bfloat16") if OP.reason_off("gpu", items.device) is None else None
    count, dim = items.shape
    if count < _K * _SAMPLE or OP.reason_off("native", items.device) is not None:
        return None
    queries = items[:: count // _SAMPLE][:_SAMPLE].contiguous()
    for scan in ("int8", "bfloat16"):
        packed = Packed.of(items, metric, scan)
        counts = packed.search(queries, items, _K, metric, None, backend="native", threads=0)[2]
        if counts is not None and counts.rescored / len(queries) <= 2 * _K + count * dim / _PRODUCTS_OF_A_PAIR:
            return packed
    return None


def _fake(
    queries: Tensor, items: Tensor | None, packed: Tensor, n_items: int, k: int, *_: object
) -> tuple[Tensor, Tensor, Tensor]:
    shape = (queries.shape[0], k)
    return (
        queries.new_empty(shape, dtype=torch.float64),
        queries.new_empty(shape, dtype=torch.int64),
        queries.new_empty(2, dtype=torch.int64),
    )


OP.register(
    "(Tensor queries, Tensor? items, Tensor packed, int n_items, int k, str metric, str scan, Tensor? mask)"
    " -> (Tensor scores, Tensor ids, Tensor counts)",
    "queries float32 B d, items float32 N d, packed any, mask int64|uint64",
    _fake,
)
