"""The Triton kernel: one program a bag, all tables in one launch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from headrace.kernels.checks import check_offsets
from headrace.kernels.embedding_bag.reference import check_indices
from headrace.kernels.embedding_bag.tables import PAD


@triton.jit(do_not_specialize=["batch"])  # type: ignore[untyped-decorator]
def _pool_kernel(
    values: tl.tensor,
    scales: tl.tensor,
    layout: tl.tensor,
    indices: tl.tensor,
    offsets: tl.tensor,
    weights: tl.tensor,
    out: tl.tensor,
    bad: tl.tensor,
    batch: tl.tensor,
    width: tl.tensor,
    SCALED: tl.constexpr,
    WEIGHTED: tl.constexpr,
    MEAN: tl.constexpr,
    PADDED: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    bag = tl.program_id(0).to(tl.int64)
    table = layout + bag // batch * 5
    start, first_row, rows = tl.load(table), tl.load(table + 1), tl.load(table + 2)
    dim, column = tl.load(table + 3), tl.load(table + 4)
    stride = (dim + PADDED - 1) // PADDED * PADDED
    lane = tl.arange(0, COLUMNS)
    total = tl.zeros([COLUMNS], tl.float32)
    wrong = tl.zeros([], tl.int32)
    first, last = tl.load(offsets + bag), tl.load(offsets + bag + 1)
    for i in range(first, last):
        index = tl.load(indices + i)
        known = (index >= 0) & (index < rows)
        wrong = wrong | (1 - known.to(tl.int32))
        row = tl.load(values + start + index * stride + lane, mask=(lane < dim) & known, other=0).to(tl.float32)
        if SCALED:
            factor = tl.load(scales + first_row + index, mask=known, other=0)
            if WEIGHTED:
                factor = factor * tl.load(weights + i)
            row = row * factor
        elif WEIGHTED:
            row = row * tl.load(weights + i)
        total += row
    if MEAN:
        total = total / tl.maximum(last - first, 1).to(tl.float32)
    tl.store(bad, 1, mask=wrong != 0)
    tl.store(out + bag % batch * width + column + lane, total, mask=lane < dim)


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
) -> Tensor:
    """Waits for the device to name a bad index; inside a CUDA graph's capture bad ones are only left out."""
    capturing = values.is_cuda and torch.cuda.is_current_stream_capturing()
    if not capturing:
        check_offsets("offsets", offsets, indices.shape[0])
    bags = offsets.shape[0] - 1
    batch = bags // len(dims)
    out = torch.empty(batch, sum(dims), dtype=torch.float32, device=values.device)
    bad = torch.zeros(1, dtype=torch.int32, device=values.device)
    if bags == 0:
        return out
    columns = triton.next_power_of_2(max(dims))
    _pool_kernel[(bags,)](
        *(
            values,
            scales,
            layout,
            indices,
            offsets,
            indices if weights is None else weights,
            out,
            bad,
            batch,
            sum(dims),
        ),
        SCALED=values.dtype == torch.int8,
        WEIGHTED=weights is not None,
        MEAN=pooling == "mean",
        PADDED=PAD,
        COLUMNS=columns,
        num_warps=max(1, min(8, columns // 128)),
    )
    if not capturing and int(bad):
        for t, rows in enumerate(layout[:, 2].tolist()):
            first, last = int(offsets[t * batch]), int(offsets[(t + 1) * batch])
            check_indices(indices[first:last], rows, t, first)
    return out
