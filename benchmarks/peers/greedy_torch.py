"""Greedy DPP and MMR in torch eager, all lists at once as one padded batch: a few kernels a pick, in float32.

Of the ways to write each product the one that is fastest on a CPU is used: a batch of row vectors times matrices, and
the small triangular factors inverted before they meet the long rows.
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.inference_mode()
def dpp(vectors: Tensor, rewards: Tensor, k: int, theta: float, window: int | None, eps: float) -> Tensor:
    """int64 [B, k]. vectors: [B, n, d], rewards: [B, n], lists of one length."""
    if window is None:
        return _dpp_all(vectors, theta * rewards, k, theta, eps)
    return _dpp_window(vectors, theta * rewards, k, theta, window, eps)


def _dpp_all(vectors: Tensor, reward: Tensor, k: int, theta: float, eps: float) -> Tensor:
    """One row of the Cholesky factor a pick (Chen, Zhang, Zhou, NeurIPS 2018)."""
    batch, n, _ = vectors.shape
    each = torch.arange(batch, device=vectors.device)
    picked = torch.empty(batch, k, dtype=torch.int64, device=vectors.device)
    basis = vectors.new_zeros(batch, k, n)
    d2 = vectors.square().sum(2)
    for t in range(k):
        j = torch.add(reward, d2.clamp_min(eps).log_(), alpha=1 - theta).argmax(1)
        picked[:, t] = j
        reward[each, j] = -torch.inf
        row = _likeness(vectors, each, j)
        if t:
            row -= torch.bmm(basis[each, :t, j].unsqueeze(1), basis[:, :t]).squeeze(1)
        row /= d2[each, j].clamp_min(eps).sqrt_().unsqueeze(1)
        basis[:, t] = row
        d2.addcmul_(row, row, value=-1)
    return picked


def _dpp_window(vectors: Tensor, reward: Tensor, k: int, theta: float, window: int, eps: float) -> Tensor:
    """The same over the last picks, whose small factor is made anew for each."""
    batch, n, _ = vectors.shape
    each = torch.arange(batch, device=vectors.device)
    picked = torch.empty(batch, k, dtype=torch.int64, device=vectors.device)
    rows = vectors.new_zeros(batch, window, n)
    members = picked.new_zeros(batch, window)
    unit = torch.eye(window, device=vectors.device)
    norms = vectors.square().sum(2)
    d2 = norms
    for t in range(k):
        j = torch.add(reward, d2.clamp_min(eps).log_(), alpha=1 - theta).argmax(1)
        picked[:, t] = j
        reward[each, j] = -torch.inf
        rows[:, t % window] = _likeness(vectors, each, j)
        members[:, t % window] = j
        held = min(t + 1, window)
        now, identity = rows[:, :held], unit[:held, :held]
        gram = now.gather(2, members[:, None, :held].expand(-1, held, -1)).add_(identity, alpha=eps)
        factor, _ = torch.linalg.cholesky_ex(gram)
        inverse = torch.linalg.solve_triangular(factor, identity.expand_as(gram), upper=False)
        d2 = norms - torch.bmm(inverse, now).square_().sum(1)
    return picked


@torch.inference_mode()
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
        now = _likeness(vectors, each, j)
        if window is None:
            nearest = torch.maximum(likeness[:, 0], now, out=likeness[:, 0])
        else:
            likeness[:, t % window] = now
            nearest = likeness[:, : min(t + 1, window)].amax(1)
        objective = torch.sub(reward, nearest, alpha=1 - theta)
    return picked


def _likeness(vectors: Tensor, each: Tensor, j: Tensor) -> Tensor:
    """[B, n]: the inner product of every vector with vector j[b] of its list."""
    return torch.bmm(vectors[each, j].unsqueeze(1), vectors.transpose(1, 2)).squeeze(1)
