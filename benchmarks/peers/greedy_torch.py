"""Greedy DPP and MMR in torch eager, all lists at once as one padded batch: a few kernels a pick, in float32."""

from __future__ import annotations

import torch
from torch import Tensor


def dpp(vectors: Tensor, rewards: Tensor, k: int, theta: float, window: int | None, eps: float) -> Tensor:
    """int64 [B, k]. vectors: [B, n, d], rewards: [B, n], lists of one length."""
    batch, n, _ = vectors.shape
    each = torch.arange(batch, device=vectors.device)
    picked = torch.empty(batch, k, dtype=torch.int64, device=vectors.device)
    reward = theta * rewards
    norms = vectors.square().sum(2)
    rows = vectors.new_zeros(batch, window or k, n)
    members = picked.new_zeros(batch, window or k)
    ridge = eps * torch.eye(window or 1, device=vectors.device)
    d2 = norms.clone()
    for t in range(k):
        j = torch.add(reward, d2.clamp_min(eps).log_(), alpha=1 - theta).argmax(1)
        picked[:, t] = j
        reward[each, j] = -torch.inf
        likeness = torch.bmm(vectors, vectors[each, j].unsqueeze(2)).squeeze(2)
        if window is None:
            if t:
                likeness -= torch.einsum("bt,btn->bn", rows[each, :t, j], rows[:, :t])
            rows[:, t] = likeness.div_(d2[each, j].clamp_min(eps).sqrt_().unsqueeze(1))
            d2.addcmul_(likeness, likeness, value=-1)
        else:
            rows[:, t % window] = likeness
            members[:, t % window] = j
            held = min(t + 1, window)
            columns = rows[:, :held]
            gram = columns.gather(2, members[:, None, :held].expand(-1, held, -1)) + ridge[:held, :held]
            factor, _ = torch.linalg.cholesky_ex(gram)
            whitened = torch.linalg.solve_triangular(factor, columns, upper=False)
            d2 = norms - torch.einsum("btn,btn->bn", whitened, whitened)
    return picked


def mmr(vectors: Tensor, rewards: Tensor, k: int, theta: float, window: int | None) -> Tensor:
    """int64 [B, k]. vectors: [B, n, d], rewards: [B, n], lists of one length."""
    batch, n, _ = vectors.shape
    each = torch.arange(batch, device=vectors.device)
    picked = torch.empty(batch, k, dtype=torch.int64, device=vectors.device)
    reward = theta * rewards
    likeness = vectors.new_full((batch, window or 1, n), -torch.inf)
    objective = reward
    for t in range(k):
        j = objective.argmax(1)
        picked[:, t] = j
        reward[each, j] = -torch.inf
        now = torch.bmm(vectors, vectors[each, j].unsqueeze(2)).squeeze(2)
        if window is None:
            nearest = torch.maximum(likeness[:, 0], now, out=likeness[:, 0])
        else:
            likeness[:, t % window] = now
            nearest = likeness[:, : min(t + 1, window)].amax(1)
        objective = torch.sub(reward, nearest, alpha=1 - theta)
    return picked
