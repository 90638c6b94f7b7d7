"""The Triton backends of DPP and MMR: one program per list."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.diversity.dpp_gpu import dpp_kernel
from headrace.kernels.diversity.greedy_gpu import BLOCK, BLOCK_D, scratch
from headrace.kernels.diversity.mmr_gpu import mmr_kernel
from headrace.kernels.diversity.picks import check_values, outputs


def _nothing(offsets: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """picked, gain and ruled before the first pick."""
    picked, gain, ruled = outputs(offsets, k)
    return picked.fill_(-1), gain.fill_(-torch.inf), ruled.zero_()


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
    check_values(vectors, rewards, offsets, pinned)
    batch, items = offsets.shape[0] - 1, vectors.shape[0]
    picked, gain, ruled = _nothing(offsets, k)
    logdet = gain.clone()
    if items == 0:
        return picked, gain, ruled, logdet
    held = min(k, int(offsets.diff().max()), window or k)
    rows, spans, counts, forbidden, rules = scratch(vectors, kinds, limits)
    settings = torch.tensor([theta, 1.0 - theta, eps], dtype=torch.float64, device=vectors.device)
    dpp_kernel[(batch,)](
        vectors.contiguous(),
        rewards.contiguous(),
        offsets.contiguous(),
        settings,
        rows,
        spans,
        picked.clone() if pinned is None else pinned.contiguous(),
        picked,
        gain,
        ruled,
        logdet,
        settings.new_empty((4, items)),
        settings.new_empty((held, items)),
        offsets.new_empty((batch, held)),
        counts,
        forbidden,
        items,
        vectors.shape[1],
        k,
        window or 0,
        held,
        rules,
        BLOCK=BLOCK,
        BLOCK_D=BLOCK_D,
    )
    return picked, gain, ruled, logdet


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
    check_values(vectors, rewards, offsets, pinned)
    batch, items = offsets.shape[0] - 1, vectors.shape[0]
    picked, gain, ruled = _nothing(offsets, k)
    if items == 0:
        return picked, gain, ruled
    windowed = window is not None and window < min(k, int(offsets.diff().max()))
    held = window if window is not None and windowed else 1
    rows, spans, counts, forbidden, rules = scratch(vectors, kinds, limits)
    settings = torch.tensor([theta, 1.0 - theta], dtype=torch.float64, device=vectors.device)
    mmr_kernel[(batch,)](
        vectors.contiguous(),
        rewards.contiguous(),
        offsets.contiguous(),
        settings,
        rows,
        spans,
        picked.clone() if pinned is None else pinned.contiguous(),
        picked,
        gain,
        ruled,
        settings.new_empty((3, items)),
        settings.new_empty((held, items)),
        counts,
        forbidden,
        items,
        vectors.shape[1],
        k,
        held,
        rules,
        WINDOWED=windowed,
        BLOCK=BLOCK,
        BLOCK_D=BLOCK_D,
    )
    return picked, gain, ruled
