"""Greedy DPP and MMR in torch eager, all lists at once as one padded batch: a few kernels a pick, in float32.

Of the ways to write each product the one that is fastest on a CPU is used: a batch of row vectors times matrices, and
the small triangular factors inverted before they meet the long rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.diversity import Rules


class _Ruled:
    """Rules of all lists: how often each kind stands among the picks that a rule looks back on."""

    def __init__(self, rules: Rules | None, picked: Tensor) -> None:
        kinds = [] if rules is None else list(rules.kinds.long().view(len(rules.kinds), len(picked), -1))
        limits = [] if rules is None else rules.limits.tolist()
        counts = [row.new_zeros(len(row), int(row.max()) + 1) for row in kinds]
        self._rules = list(zip(kinds, limits, counts, strict=True))
        self._picked = picked

    def best(self, objective: Tensor, t: int) -> Tensor:
        """The best item of each list that the rules allow; a rule that leaves none is left out."""
        for kinds, (span, most, prefix), counts in self._rules:
            if not prefix or t < span:
                left = objective.masked_fill(counts.ge(most).gather(1, kinds), -torch.inf)
                objective = torch.where(left.amax(1, keepdim=True) > -torch.inf, left, objective)
        return objective.argmax(1)

    def add(self, j: Tensor, t: int) -> None:
        self._picked[:, t] = j
        for kinds, (span, _, _), counts in self._rules:
            one = torch.ones_like(j[:, None])
            counts.scatter_add_(1, kinds.gather(1, j[:, None]), one)
            if t + 1 >= span:
                counts.scatter_add_(1, kinds.gather(1, self._picked[:, t + 1 - span, None]), -one)


@torch.inference_mode()
def dpp(
    vectors: Tensor,
    rewards: Tensor,
    k: int,
    theta: float,
    window: int | None,
    eps: float,
    rules: Rules | None = None,
) -> Tensor:
    """int64 [B, k]. vectors: [B, n, d], rewards: [B, n], lists of one length."""
    if window is None:
        return _dpp_all(vectors, theta * rewards, k, theta, eps, rules)
    return _dpp_window(vectors, theta * rewards, k, theta, window, eps, rules)


def _dpp_all(vectors: Tensor, reward: Tensor, k: int, theta: float, eps: float, rules: Rules | None) -> Tensor:
    """One row of the Cholesky factor a pick (Chen, Zhang, Zhou, NeurIPS 2018)."""
    batch, n, _ = vectors.shape
    each = torch.arange(batch, device=vectors.device)
    picked = torch.empty(batch, k, dtype=torch.int64, device=vectors.device)
    ruled = _Ruled(rules, picked)
    basis = vectors.new_zeros(batch, k, n)
    d2 = vectors.square().sum(2)
    for t in range(k):
        j = ruled.best(torch.add(reward, d2.clamp_min(eps).log_(), alpha=1 - theta), t)
        ruled.add(j, t)
        reward[each, j] = -torch.inf
        row = _likeness(vectors, each, j)
        if t:
            row -= torch.bmm(basis[each, :t, j].unsqueeze(1), basis[:, :t]).squeeze(1)
        row /= d2[each, j].clamp_min(eps).sqrt_().unsqueeze(1)
        basis[:, t] = row
        d2.addcmul_(row, row, value=-1)
    return picked


def _dpp_window(
    vectors: Tensor, reward: Tensor, k: int, theta: float, window: int, eps: float, rules: Rules | None
) -> Tensor:
    """The same over the last picks, whose small factor is made anew for each."""
    batch, n, _ = vectors.shape
    each = torch.arange(batch, device=vectors.device)
    picked = torch.empty(batch, k, dtype=torch.int64, device=vectors.device)
    ruled = _Ruled(rules, picked)
    rows = vectors.new_zeros(batch, window, n)
    members = picked.new_zeros(batch, window)
    unit = torch.eye(window, device=vectors.device)
    norms = vectors.square().sum(2)
    d2 = norms
    for t in range(k):
        j = ruled.best(torch.add(reward, d2.clamp_min(eps).log_(), alpha=1 - theta), t)
        ruled.add(j, t)
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
def mmr(
    vectors: Tensor, rewards: Tensor, k: int, theta: float, window: int | None, rules: Rules | None = None
) -> Tensor:
    """int64 [B, k]. vectors: [B, n, d], rewards: [B, n], lists of one length."""
    batch, n, _ = vectors.shape
    each = torch.arange(batch, device=vectors.device)
    picked = torch.empty(batch, k, dtype=torch.int64, device=vectors.device)
    ruled = _Ruled(rules, picked)
    reward = theta * rewards
    likeness = vectors.new_full((batch, window or 1, n), -torch.inf)
    objective = reward
    for t in range(k):
        j = ruled.best(objective, t)
        ruled.add(j, t)
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
