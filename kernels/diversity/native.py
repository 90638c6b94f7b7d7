"""The C++ backend: passes the tensors' memory on."""

from __future__ import annotations

from torch import Tensor

from headrace.kernels.diversity.picks import outputs, paths
from headrace.kernels.settings import extension


def dpp(
    vectors: Tensor,
    rewards: Tensor,
    offsets: Tensor,
    k: int,
    theta: float,
    window: int | None,
    eps: float,
    kinds: Tensor | None,
    limits: Tensor | None,
    pinned: Tensor | None,
    threads: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    out = *outputs(offsets, k), paths(offsets, k)
    extension().dpp(
        vectors.contiguous().numpy(),
        rewards.contiguous().numpy(),
        offsets.contiguous().numpy(),
        k,
        theta,
        window or 0,
        eps,
        None if kinds is None else kinds.contiguous().numpy(),
        None if limits is None else limits.contiguous().numpy(),
        None if pinned is None else pinned.contiguous().numpy(),
        threads,
        *(tensor.numpy() for tensor in out),
    )
    return out


def mmr(
    vectors: Tensor,
    rewards: Tensor,
    offsets: Tensor,
    k: int,
    theta: float,
    window: int | None,
    kinds: Tensor | None,
    limits: Tensor | None,
    pinned: Tensor | None,
    threads: int,
) -> tuple[Tensor, Tensor, Tensor]:
    out = outputs(offsets, k)
    extension().mmr(
        vectors.contiguous().numpy(),
        rewards.contiguous().numpy(),
        offsets.contiguous().numpy(),
        k,
        theta,
        window or 0,
        None if kinds is None else kinds.contiguous().numpy(),
        None if limits is None else limits.contiguous().numpy(),
        None if pinned is None else pinned.contiguous().numpy(),
        threads,
        *(tensor.numpy() for tensor in out),
    )
    return out
