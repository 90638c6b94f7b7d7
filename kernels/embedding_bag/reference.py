"""The definition, in plain torch: float64 sums of the stored rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from headrace.kernels.checks import check_offsets
from headrace.kernels.embedding_bag.tables import PAD


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
    check_offsets("offsets", offsets, indices.shape[0])
    batch = (offsets.shape[0] - 1) // len(dims)
    out = torch.zeros(batch, sum(dims), dtype=torch.float64, device=values.device)
    for t, (start, first_row, rows, dim, column) in enumerate(layout.tolist()):
        bags = offsets[t * batch : (t + 1) * batch + 1]
        here = slice(int(bags[0]), int(bags[-1])) if batch else slice(0, 0)
        index = indices[here]
        check_indices(index, rows, t, here.start)
        stride = -(-dim // PAD) * PAD
        looked_up = values[start : start + rows * stride].view(rows, stride)[index, :dim].double()
        if values.dtype == torch.int8:
            looked_up *= scales[first_row + index].double().unsqueeze(1)
        if weights is not None:
            looked_up *= weights[here].double().unsqueeze(1)
        size = bags.diff()
        pooled = out[:, column : column + dim]
        pooled.index_add_(0, torch.repeat_interleave(torch.arange(batch, device=size.device), size), looked_up)
        if pooling == "mean":
            pooled /= size.clamp_min(1).unsqueeze(1)
    return out.float()


def check_indices(index: Tensor, rows: int, table: int, first: int) -> None:
    """Raises ValueError, naming table and position, when an index is not a row."""
    bad = ((index < 0) | (index >= rows)).nonzero()
    if bad.shape[0]:
        at = int(bad[0])
        raise ValueError(
            f"indices: expected 0 to {rows - 1} in table {table}, got {int(index[at])} at position {first + at}"
        )
