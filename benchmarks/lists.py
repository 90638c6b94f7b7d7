"""Lists to pick from, for the benchmarks of greedy DPP and MMR, and the picks of a float64 brute force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from headrace.benchmarks.harness.case import Near, Wrong

THETA = 0.5
EPS = 1e-6
#: Lists whose picks are checked; at least this share of a peer's must be right.
CHECKED, ENOUGH = 4, 0.9

Floats = NDArray[np.float64]
#: (vectors [n, d], positions picked so far) -> what adds to theta * reward, [n]
Diversity = Callable[[Floats, list[int]], Floats]


@dataclass(frozen=True)
class Lists:
    """vectors float32 [B * n, d] of unit length, rewards float32 [B * n], offsets int64 [B + 1], and how to pick."""

    vectors: Tensor
    rewards: Tensor
    offsets: Tensor
    k: int
    window: int | None

    @property
    def padded(self) -> tuple[Tensor, Tensor]:
        """vectors [B, n, d] and rewards [B, n]."""
        batch = len(self.offsets) - 1
        return self.vectors.view(batch, -1, self.vectors.shape[1]), self.rewards.view(batch, -1)

    @property
    def arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        return self.vectors.numpy(), self.rewards.numpy(), self.offsets.numpy()


def make_lists(batch: int, items: int, dim: int, k: int, window: int | None, positive: bool = False) -> Lists:
    """positive: no two vectors lie apart by more than a right angle, as after a ReLU."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(batch * items, dim, generator=generator)
    vectors = functional.normalize(vectors.abs() if positive else vectors, dim=1)
    rewards = torch.rand(batch * items, generator=generator)
    return Lists(vectors, rewards, torch.arange(batch + 1) * items, k, window)


def name(batch: int, items: int, dim: int, k: int, window: int | None) -> str:
    return f"B{batch} n{items} d{dim} k{k} " + ("all picks" if window is None else f"window {window}")


def greedy(vectors: Floats, rewards: Floats, k: int, window: int | None, diversity: Diversity) -> list[int]:
    """The k best one by one; nothing is carried from pick to pick."""
    picked: list[int] = []
    for _ in range(k):
        objective = THETA * rewards + diversity(vectors, picked if window is None else picked[-window:])
        objective[picked] = -np.inf
        picked.append(int(objective.argmax()))
    return picked


def check(lists: Lists, answer: Any, diversity: Diversity) -> str:
    """Compares the picks of up to CHECKED lists, from the first to the last, with those of `greedy`."""
    batch = len(lists.offsets) - 1
    got = np.asarray(answer)
    if got.shape != (batch, lists.k):
        raise Wrong(f"expected picks of shape {(batch, lists.k)}, got {got.shape}")
    vectors, rewards = (part.double().numpy() for part in lists.padded)
    chosen = np.unique(np.linspace(0, batch - 1, CHECKED).astype(int))
    truth = [greedy(vectors[b], rewards[b], lists.k, lists.window, diversity) for b in chosen]
    share = float((got[chosen] == np.array(truth)).mean())
    if share == 1:
        return "exact"
    if share < ENOUGH:
        raise Wrong(f"only {share:.1%} of the picks are a brute force's")
    return Near(share, "of picks")
