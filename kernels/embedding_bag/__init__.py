"""Embedding bags: rows of many tables, looked up and pooled by one call."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.checks import check_tensor
from headrace.kernels.edge import FLOATS, IDS, takes
from headrace.kernels.embedding_bag.tables import EmbeddingTables
from headrace.kernels.registry import Op

__all__ = ["EmbeddingTables", "embedding_bag"]

POOLINGS = ("sum", "mean")
OP = Op("embedding_bag", __name__, "pooled look-ups in many embedding tables", ("scalar", "avx2", "avx512"))


@takes(indices=IDS, offsets=IDS, weights=FLOATS)
def embedding_bag(
    tables: EmbeddingTables,
    indices: Tensor,
    offsets: Tensor,
    *,
    pooling: str = "sum",
    weights: Tensor | None = None,
    backend: str = "auto",
    threads: int = 0,
) -> Tensor:
    """float32 [B, sum of dims]: the pooled rows of each table and bag, tables side by side.

    indices: int64 [nnz], rows of their table. offsets: int64 [T * B + 1], table by table: bag b of table t owns
    indices[offsets[t * B + b] : offsets[t * B + b + 1]]. pooling: "sum" or "mean"; an empty bag gives zeros.
    weights: float32 [nnz], a factor for each row; only with "sum", as in torch.nn.functional.embedding_bag.
    Each column is added in float32 in the bag's order, so it lies within (n + 2) 2^-24 times the sum of the absolute
    terms of the exact pooling of the stored rows. Native answers have the same bits for every thread count and
    instruction set.
    Raises ValueError for an index out of range (naming table and position), offsets that fall or do not run from 0
    to nnz, a wrong shape or device; TypeError for a wrong dtype.
    """
    device = tables.values.device
    check_tensor("indices", indices, dtype=torch.int64, ndim=1, device=device)
    check_tensor("offsets", offsets, dtype=torch.int64, ndim=1, device=device)
    bags = offsets.shape[0] - 1
    if bags < 0 or bags % len(tables.dims):
        raise ValueError(f"offsets: expected {len(tables.dims)} * B + 1 entries, got {bags + 1}")
    if pooling not in POOLINGS:
        raise ValueError(f"pooling: expected sum or mean, got {pooling!r}")
    if weights is not None:
        check_tensor("weights", weights, dtype=torch.float32, ndim=1, device=device)
        if weights.shape != indices.shape:
            raise ValueError(f"weights: expected {indices.shape[0]} entries, one for each index, got {len(weights)}")
        if pooling != "sum":
            raise ValueError(f"weights: expected None with pooling {pooling!r}")
        weights = weights.contiguous()
    return OP(  # type: ignore[no-any-return]
        *(tables.values, tables.scales, tables.layout, tables.dims),
        *(indices.contiguous(), offsets.contiguous(), weights, pooling),
        backend=backend,
        threads=threads,
    )


def _fake(
    values: Tensor, scales: Tensor, layout: Tensor, dims: list[int], indices: Tensor, offsets: Tensor, *_: object
) -> Tensor:
    return values.new_empty(((offsets.shape[0] - 1) // len(dims), sum(dims)), dtype=torch.float32)


OP.register(
    "(Tensor values, Tensor scales, Tensor layout, int[] dims, Tensor indices, Tensor offsets, Tensor? weights,"
    " str pooling) -> Tensor",
    "values any, scales any, layout any, indices int64 n, offsets int64 bags+1, weights float32 n",
    _fake,
)
