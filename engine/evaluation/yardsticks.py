"""Yardsticks for re-ranking: other ways to pick a varied page, to see what greedy DPP and MMR leave on the table.

Plain float64 torch over padded lists, [B, n, d]: no kernels, and no rules. Arguments and results are those of
`headrace.kernels.diversity`: vectors float32 [nnz, d], about unit length; rewards float32 [nnz]; offsets int64 [B+1];
picked int64 [B, k], positions inside each list, padded with -1; gain float32 [B, k], the objective when picked, padded
with -infinity.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from headrace.jagged import segment_of
from headrace.kernels.diversity.picks import check_lists, check_values

Objective = Literal["dpp", "msd"]

#: Added to the diagonal of a Gram matrix, so that equal vectors have a finite log-determinant.
RIDGE = 1e-6


@dataclass(frozen=True)
class Lists:
    """Lists side by side: vectors float64 [B, n, d], rewards float64 [B, n], there bool [B, n]; zeros are padding."""

    vectors: Tensor
    rewards: Tensor
    there: Tensor

    @staticmethod
    def of(vectors: Tensor, rewards: Tensor, offsets: Tensor) -> Lists:
        counts = offsets.diff()
        width = int(counts.max()) if len(counts) else 0
        there = torch.arange(width) < counts[:, None]
        place = torch.arange(len(vectors)) - offsets[segment_of(offsets)]
        at = (segment_of(offsets), place)
        padded = torch.zeros(*there.shape, vectors.shape[1], dtype=torch.float64).index_put_(at, vectors.double())
        return Lists(padded, torch.zeros(there.shape, dtype=torch.float64).index_put_(at, rewards.double()), there)

    def rows(self, picked: Tensor) -> Tensor:
        """float64 [B, k, d]: the vectors of `picked` (int64 [B, k]), zeros for -1."""
        if not self.vectors.shape[1]:
            return self.vectors.new_zeros(*picked.shape, self.vectors.shape[2])
        found = self.vectors.gather(1, picked.clamp_min(0)[:, :, None].expand(-1, -1, self.vectors.shape[2]))
        return found * (picked >= 0)[:, :, None]


class _Greedy:
    """What is picked so far, one item of each list at a time."""

    def __init__(self, lists: Lists, k: int) -> None:
        self.free = lists.there.clone()
        self.picked = torch.full((len(lists.there), k), -1)
        self.gain = torch.full((len(lists.there), k), -math.inf, dtype=torch.float32)

    def pick(self, t: int, score: Tensor) -> Tensor:
        """int64 [B, 1]: the best free item under `score` (float64 [B, n]), ties to the lower; -1 where none is left."""
        if not score.shape[1]:
            return self.picked[:, t : t + 1]
        best, choice = score.masked_fill(~self.free, -math.inf).max(1, keepdim=True)
        left = self.free.any(1, keepdim=True)
        self.free.scatter_(1, choice, False)
        self.picked[:, t : t + 1] = torch.where(left, choice, -1)
        self.gain[:, t : t + 1] = best.float()
        return self.picked[:, t : t + 1]


def ssd(
    vectors: Tensor, rewards: Tensor, offsets: Tensor, k: int, theta: float = 0.5, window: int | None = None
) -> tuple[Tensor, Tensor]:
    """Sliding spectrum decomposition: each pick maximises `theta * reward + (1 - theta) * |residual|`.

    An item's residual is what projections on the residuals of the last `window` picks have left of its vector. When a
    pick leaves the window, its projection is added back as it was taken, not computed anew: the other directions of the
    window stay orthogonal to it, so what lies before the window still counts a little. Without a window the squared
    residual is DPP's d2, and the two differ in its scale only: |residual| is bounded where DPP's log d2 is not.

    This is the form without the running volume (eq. 12), which the authors give for numerical stability. O(k n d).
    Source: Huang, Wang, Zhang, Xu, "Sliding Spectrum Decomposition for Diversified Recommendation", KDD 2021.
    """
    lists = _lists(vectors, rewards, offsets, k, theta, window)
    greedy, rest = _Greedy(lists, k), lists.vectors.clone()
    held: deque[tuple[Tensor, Tensor]] = deque()
    for t in range(k):
        pick = greedy.pick(t, theta * lists.rewards + (1 - theta) * rest.norm(dim=2))
        if window is not None and len(held) == window:
            share, basis = held.popleft()
            rest += share[:, :, None] * basis
        basis = Lists(rest, lists.rewards, lists.there).rows(pick)
        square = basis.square().sum(2)
        # A pick that lies in the span of the window has no direction of its own to take away.
        share = (rest @ basis.mT).squeeze(2) / square.masked_fill(square <= RIDGE, math.inf)
        rest -= share[:, :, None] * basis
        held.append((share, basis))
    return greedy.picked, greedy.gain


def msd(vectors: Tensor, rewards: Tensor, offsets: Tensor, k: int, theta: float = 0.5) -> tuple[Tensor, Tensor]:
    """Max-sum diversification: reward against the distances 1 - cosine between all picks of a page.

    The set's value is `theta * sum reward + (1 - theta) * 2 / (m - 1) * sum of distances over pairs`, m = min(k, n):
    each item's mean distance to the others counts as its reward does. Each pick maximises half its reward's part plus
    its distances' part, which is at least half as good as the best set. O(k n d).
    Sources: Gollapudi, Sharma, "An Axiomatic Approach for Result Diversification", WWW 2009; Borodin, Lee, Ye, "Max-Sum
    Diversification, Monotone Submodular Functions and Dynamic Updates", PODS 2012 (the greedy).
    """
    lists = _lists(vectors, rewards, offsets, k, theta, None)
    greedy, far, each = _Greedy(lists, k), torch.zeros_like(lists.rewards), _pair_weight(lists, k, theta)
    for t in range(k):
        pick = greedy.pick(t, theta / 2 * lists.rewards + each * far)
        far += (1 - (lists.vectors @ lists.rows(pick).mT).squeeze(2)) * (pick >= 0)
    return greedy.picked, greedy.gain


def page_value(
    vectors: Tensor, rewards: Tensor, offsets: Tensor, picked: Tensor, theta: float, objective: Objective = "dpp"
) -> Tensor:
    """float64 [B]: the value of each set of picks, whatever their order.

    dpp: `theta * sum reward + (1 - theta) * log det(Gram + 1e-6 I)`; msd: as `msd` states it.
    """
    lists = _lists(vectors, rewards, offsets, picked.shape[1], theta, None)
    rows, total = lists.rows(picked), theta * _picked(lists.rewards, picked).sum(1)
    gram = rows @ rows.mT
    there = picked >= 0
    if objective == "dpp":
        volume: Tensor = torch.linalg.slogdet(_regular(gram, there)).logabsdet
        return total + (1 - theta) * volume
    pairs = there[:, :, None] & there[:, None, :] & ~torch.eye(picked.shape[1], dtype=torch.bool)
    return total + _pair_weight(lists, picked.shape[1], theta)[:, 0] / 2 * ((1 - gram) * pairs).sum((1, 2))


def swap_search(
    vectors: Tensor,
    rewards: Tensor,
    offsets: Tensor,
    picked: Tensor,
    theta: float,
    objective: Objective = "dpp",
    rounds: int = 100,
) -> Tensor:
    """int64 [B, k]: `picked` after exchanging items for better ones while `page_value` rises.

    Each round makes the best exchange of one picked item for one that is not, in every list that has one worth more
    than 1e-9; a list without is at a local optimum. The new item takes the old one's place. The gains of all k n
    exchanges come from the inverse of the picks' Gram matrix: O(k^3 + k^2 n + k n d) a round.
    """
    lists = _lists(vectors, rewards, offsets, picked.shape[1], theta, None)
    picked = picked.clone()
    gains = _dpp_gains if objective == "dpp" else _msd_gains
    for _ in range(rounds if lists.there.any() else 0):
        gain = gains(lists, picked, theta)
        taken = torch.zeros((*lists.there.shape[:1], lists.there.shape[1] + 1), dtype=torch.bool)
        taken.scatter_(1, picked.masked_fill(picked < 0, lists.there.shape[1]), True)
        free = lists.there & ~taken[:, :-1]
        gain.masked_fill_(~free[:, None, :] | (picked < 0)[:, :, None], -math.inf)
        best, flat = gain.flatten(1).max(1)
        better = best > 1e-9
        if not bool(better.any()):
            break
        place, item = flat // gain.shape[2], flat % gain.shape[2]
        picked[better, place[better]] = item[better]
    return picked


def _dpp_gains(lists: Lists, picked: Tensor, theta: float) -> Tensor:
    """float64 [B, k, n]: the rise of `page_value` when pick i makes way for item j (Schur complements)."""
    rows = lists.rows(picked)
    inverse: Tensor = torch.linalg.inv(_regular(rows @ rows.mT, picked >= 0))
    cross = rows @ lists.vectors.mT
    solved = inverse @ cross
    height = lists.vectors.square().sum(2) + RIDGE - (cross * solved).sum(1)
    own = inverse.diagonal(dim1=1, dim2=2)[:, :, None]
    ratio = own * height[:, None, :] + solved.square()
    reward = lists.rewards[:, None, :] - _picked(lists.rewards, picked)[:, :, None]
    return theta * reward + (1 - theta) * ratio.clamp_min(1e-300).log()


def _msd_gains(lists: Lists, picked: Tensor, theta: float) -> Tensor:
    there = (picked >= 0)[:, :, None]
    distance = (1 - lists.rows(picked) @ lists.vectors.mT) * there
    far = distance.sum(1)
    # What an item loses: its distances to the other picks, without the one to itself.
    own = distance.gather(2, picked.clamp_min(0)[:, :, None]).squeeze(2)
    mine = far.gather(1, picked.clamp_min(0)) - own
    reward = lists.rewards[:, None, :] - _picked(lists.rewards, picked)[:, :, None]
    change = far[:, None, :] - distance - mine[:, :, None]
    return theta * reward + _pair_weight(lists, picked.shape[1], theta)[:, :, None] * change


def _regular(gram: Tensor, there: Tensor) -> Tensor:
    """The Gram matrix with its ridge, and ones on the diagonal of picks that are not there."""
    return gram + torch.diag_embed(torch.where(there, RIDGE, 1.0).double())


def _picked(rewards: Tensor, picked: Tensor) -> Tensor:
    """float64 [B, k]: the rewards of `picked`, 0 for -1."""
    if not rewards.shape[1]:
        return rewards.new_zeros(picked.shape)
    return rewards.gather(1, picked.clamp_min(0)) * (picked >= 0)


def _pair_weight(lists: Lists, k: int, theta: float) -> Tensor:
    """float64 [B, 1]: the weight of a pair's distance in a page of min(k, n)."""
    size = lists.there.sum(1, keepdim=True).clamp_max(k)
    return 2 * (1 - theta) / (size - 1).clamp_min(1).double()


def _lists(vectors: Tensor, rewards: Tensor, offsets: Tensor, k: int, theta: float, window: int | None) -> Lists:
    check_lists(vectors, rewards, offsets, k, theta, window, None, None)
    check_values(vectors, rewards, offsets, None)
    return Lists.of(vectors, rewards, offsets)
