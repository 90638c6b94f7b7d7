"""A catalogue kept a second time in low precision, which finds what the vectors as given then decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from headrace.kernels import settings
from headrace.kernels.registry import Op, register
from headrace.kernels.topk.checks import METRICS

#: In the order of the C interface (cpp/topk/topk.h). The last two keep packed vectors.
SCANS = ("float32", "bfloat16", "int8")
TILE = 256
_SAMPLE = 16
_K = 100
#: Products that a scan in low precision does in the time that float64 takes for one pair of vectors.
_PRODUCTS_OF_A_PAIR = 20_000

OP = Op(
    "topk_packed",
    "headrace.kernels.topk",
    "exact top-k, found by a low-precision copy of the catalogue",
    ("scalar", "avx2", "avx512"),
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
    """scan: "bfloat16" or "int8". data: uint8, as `hr_topk_pack` in cpp/topk/topk.h lays it out, or packed_gpu.py."""

    scan: str
    data: Tensor

    @classmethod
    def of(cls, items: Tensor, metric: str, scan: str, before: Packed | None = None, same: int = 0) -> Packed:
        """Packs float32 [N, d]. The first `same` rows are those that `before`, of the same scan and metric, packed."""
        if items.device.type != "cpu":
            from headrace.kernels.topk import packed_gpu  # needs triton

            return cls(scan, packed_gpu.pack(items, metric, scan))
        arguments = (items.shape[1], METRICS.index(metric), SCANS.index(scan))
        extension = settings.extension()
        data = torch.empty(extension.topk_packed_bytes(items.shape[0], *arguments), dtype=torch.uint8)
        first = 0 if before is None else same // TILE * TILE
        if before is not None and first:
            known = extension.topk_packed_bytes(first, *arguments)
            data[:known] = before.data[:known]
        extension.topk_pack(items.numpy(), *arguments[1:], first, 0, data.numpy())
        return cls(scan, data)

    def search(
        self, queries: Tensor, items: Tensor, k: int, metric: str, mask: Tensor | None, backend: str, threads: int
    ) -> tuple[Tensor, Tensor, Counts | None]:
        """As `topk`, with scores in float64, and what it took, None while a CUDA graph is captured.

        The arguments must have passed the checks of `topk`.
        """
        scores, rows, counts = torch.ops.headrace.topk_packed(
            queries.detach(), items, self.data, k, metric, self.scan, mask, backend, threads
        )
        if counts.is_cuda and torch.cuda.is_current_stream_capturing():
            return scores, rows, None
        return scores, rows, Counts(*counts.tolist())


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
        counts = packed.search(queries, items, _K, metric, None, "native", 0)[2]
        if counts is not None and counts.rescored / len(queries) <= 2 * _K + count * dim / _PRODUCTS_OF_A_PAIR:
            return packed
    return None


def _packed(
    queries: Tensor,
    items: Tensor,
    packed: Tensor,
    k: int,
    metric: str,
    scan: str,
    mask: Tensor | None,
    backend: str,
    threads: int,
) -> tuple[Tensor, Tensor, Tensor]:
    serve = OP.pick(backend, queries.device)
    scores, ids, counts = serve(queries, items, packed, k, metric, scan, mask, threads)
    return scores, ids, counts


def _fake(
    queries: Tensor,
    items: Tensor,
    packed: Tensor,
    k: int,
    metric: str,
    scan: str,
    mask: Tensor | None,
    backend: str,
    threads: int,
) -> tuple[Tensor, Tensor, Tensor]:
    shape = (queries.shape[0], k)
    return (
        queries.new_empty(shape, dtype=torch.float64),
        queries.new_empty(shape, dtype=torch.int64),
        queries.new_empty(2, dtype=torch.int64),
    )


register(
    "topk_packed(Tensor queries, Tensor items, Tensor packed, int k, str metric, str scan, Tensor? mask, str backend,"
    " int threads) -> (Tensor scores, Tensor ids, Tensor counts)",
    _packed,
    _fake,
)
