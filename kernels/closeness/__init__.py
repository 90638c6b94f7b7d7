"""Closeness: how like its user's last items each candidate is."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.checks import check_tensor
from headrace.kernels.edge import CODES, FLOATS, IDS, takes
from headrace.kernels.registry import Op

__all__ = ["closeness"]

OP = Op("closeness", __name__, "likeness of candidates to recent items", ("scalar", "avx2", "avx512"))


@takes(content=FLOATS, recent=CODES, offsets=IDS, item=IDS)
def closeness(
    content: Tensor, recent: Tensor, offsets: Tensor, item: Tensor, *, backend: str = "auto", threads: int = 0
) -> Tensor:
    """float32 [n, 2]: the mean and the greatest dot product of each candidate's vector with its request's recent items.

    content: float32 [N, d], e.g. of unit length. recent: int32 [B, L], rows of content, -1 where there is none.
    offsets: int64 [B+1]; request b owns candidates offsets[b]:offsets[b+1]. item: int64 [n], rows of content. Zeros
    where a request has no recent items. The mean is that with the mean of the recent vectors, which is the same but for
    rounding; float32, within (L + d + 3) 2^-24 of the exact value for unit vectors. The native answer has the same bits
    for every batch, thread count and instruction set.
    Raises ValueError for a row outside content, products that are not finite, offsets that do not rise from 0 to n,
    wrong shapes or devices; TypeError for wrong types.
    """
    device = content.device
    check_tensor("content", content, dtype=torch.float32, ndim=2)
    check_tensor("recent", recent, dtype=torch.int32, ndim=2, device=device)
    check_tensor("offsets", offsets, dtype=torch.int64, ndim=1, device=device)
    check_tensor("item", item, dtype=torch.int64, ndim=1, device=device)
    if content.shape[1] < 1:
        raise ValueError(f"content: expected at least 1 column, got shape {tuple(content.shape)}")
    if len(offsets) != len(recent) + 1:
        raise ValueError(f"offsets: expected {len(recent) + 1} entries for {len(recent)} requests, got {len(offsets)}")
    inputs = (tensor.contiguous() for tensor in (content, recent, offsets, item))
    return OP(*inputs, backend=backend, threads=threads)  # type: ignore[no-any-return]


def _fake(content: Tensor, recent: Tensor, offsets: Tensor, item: Tensor) -> Tensor:
    return content.new_empty((item.shape[0], 2))


OP.register(
    "(Tensor content, Tensor recent, Tensor offsets, Tensor item) -> Tensor",
    "content float32 N d, recent int32 B L, offsets int64 B+1, item int64 n",
    _fake,
)
