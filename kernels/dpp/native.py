"""The C++ backend: passes the tensors' memory on."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.dpp import reference
from headrace.kernels.dpp.picks import outputs
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
    if pinned is not None:
        return reference.dpp(
            vectors, rewards, offsets, k, theta, window, eps, kinds, limits, pinned, threads
        )
    out = outputs(offsets, k)
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
        threads,
        *(tensor.numpy() for tensor in out),
    )
    return *out, torch.full_like(out[1], torch.nan)
