"""What pooled look-ups in embedding tables must do."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from headrace.kernels.work import Counted, Work

_SIZE = {"float32": 4, "bfloat16": 2, "int8": 1}


def work(
    batch: int, lookups: Sequence[int], dims: Sequence[int], dtype: str = "float32", weighted: bool = False
) -> Work:
    """lookups, dims: of each table. Each looked-up row is read and added once, each pooled row is written.

    An addition for each value; with weights or int8 rows a multiply-add, and the factors are read too.
    """
    values = sum(n * dim for n, dim in zip(lookups, dims, strict=True))
    count, factors = sum(lookups), weighted + (dtype == "int8")
    read = values * _SIZE[dtype] + count * (8 + 4 * factors) + 8 * (len(dims) * batch + 1)
    return Work(values * (2.0 if factors else 1.0), float(read + 4 * batch * sum(dims)), random=True)


def embedding_bag(
    values: Tensor,
    scales: Tensor,
    layout: Tensor,
    dims: Sequence[int],
    indices: Tensor,
    offsets: Tensor,
    weights: Tensor | None,
    pooling: str,
    threads: int = 0,
) -> Counted:
    """A call, counted: look-ups in, bags out."""
    bags = offsets.shape[0] - 1
    batch = bags // len(dims)
    lookups = offsets[::batch].diff().tolist() if batch else [0] * len(dims)
    dtype = str(values.dtype).removeprefix("torch.")
    return Counted(indices.shape[0], bags, work(batch, lookups, dims, dtype, weights is not None))
