"""Lists to pick from, for the benchmarks of greedy DPP and MMR, and the picks of a float64 brute force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from headrace.benchmarks.harness.case import Call, Case, Near, Wrong
from headrace.benchmarks.harness.clock import Timing
from headrace.kernels.diversity import Rules

THETA = 0.5
EPS = 1e-6
#: Lists whose picks are checked; at least this share of a peer's must be right.
CHECKED, ENOUGH = 4, 0.9
#: The lists with rules: at most 2 of a kind in a row, one in every 9 positions, one in the first 4.
LIMITS = ((3, 2, 0), (9, 1, 0), (4, 1, 1))
#: How many kinds each of those rules tells apart, drawn evenly.
KINDS = (10, 20, 50)

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
    rules: Rules | None = None

    def split(self, size: int) -> list[Lists]:
        """Batches of `size` lists; lists of one length."""
        n, batch = len(self.rewards) // (len(self.offsets) - 1), len(self.offsets) - 1
        parts = []
        for first in range(0, batch, size):
            count = min(size, batch - first)
            own = slice(first * n, (first + count) * n)
            rules = self.rules and Rules(self.rules.kinds[:, own].contiguous(), self.rules.limits)
            offsets = self.offsets[: count + 1]
            parts.append(Lists(self.vectors[own], self.rewards[own], offsets, self.k, self.window, rules))
        return parts

    @property
    def rule_arrays(self) -> tuple[NDArray[np.int32], NDArray[np.int64]] | None:
        """kinds [R, B * n] and limits [R, 3]."""
        return None if self.rules is None else (self.rules.kinds.numpy(), self.rules.limits.numpy())

    @property
    def padded(self) -> tuple[Tensor, Tensor]:
        """vectors [B, n, d] and rewards [B, n]."""
        batch = len(self.offsets) - 1
        return self.vectors.view(batch, -1, self.vectors.shape[1]), self.rewards.view(batch, -1)

    @property
    def arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        return self.vectors.numpy(), self.rewards.numpy(), self.offsets.numpy()


def make_lists(
    batch: int, items: int, dim: int, k: int, window: int | None, rules: int = 0, positive: bool = False
) -> Lists:
    """rules: how many of LIMITS. positive: no two vectors lie apart by more than a right angle, as after a ReLU."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(batch * items, dim, generator=generator)
    vectors = functional.normalize(vectors.abs() if positive else vectors, dim=1)
    rewards = torch.rand(batch * items, generator=generator)
    lists = Lists(vectors, rewards, torch.arange(batch + 1) * items, k, window)
    if not rules:
        return lists
    kinds = [torch.randint(count, (batch * items,), generator=generator, dtype=torch.int32) for count in KINDS[:rules]]
    return replace(lists, rules=Rules(torch.stack(kinds), torch.tensor(LIMITS[:rules])))


def name(batch: int, items: int, dim: int, k: int, window: int | None, rules: int = 0) -> str:
    held = "all picks" if window is None else f"window {window}"
    return f"B{batch} n{items} d{dim} k{k} {held}" + (f" {rules} rules" if rules else "")


def params(batch: int, items: int, dim: int, k: int, window: int | None, rules: int = 0) -> dict[str, Any]:
    """The numbers that name a case."""
    held = {"batch": batch, "items": items, "dim": dim, "k": k, "window": window}
    return {**held, "rules": rules} if rules else held


def a_request(lists: Lists, case: Case, call: Call, timing: Timing) -> dict[str, float]:
    """Microseconds that one list of the batch takes."""
    return {"us a request": float(f"{np.median(timing.rounds) * 1e3 / (len(lists.offsets) - 1):.5g}")}


def without_rules(case: Case) -> bool:
    return "rules" not in case.params


def greedy(
    vectors: Floats,
    rewards: Floats,
    k: int,
    window: int | None,
    diversity: Diversity,
    kinds: NDArray[np.int32] | None = None,
) -> list[int]:
    """The k best one by one; nothing is carried from pick to pick. kinds: [R, n], of the first R of LIMITS."""
    picked: list[int] = []
    for _ in range(k):
        objective = THETA * rewards + diversity(vectors, picked if window is None else picked[-window:])
        objective[picked] = -np.inf
        picked.append(int(_allowed(objective, kinds, picked).argmax()))
    return picked


def _allowed(objective: Floats, kinds: NDArray[np.int32] | None, picked: list[int]) -> Floats:
    """The objective of the items that the rules allow; the last rules are dropped as long as they leave none."""
    rules = 0 if kinds is None else len(kinds)
    while kinds is not None and rules:
        left: Floats = objective.copy()
        for row, (span, most, prefix) in zip(kinds[:rules], LIMITS, strict=False):
            if not prefix or len(picked) < span:
                near = row[picked[max(len(picked) - span + 1, 0) :]]
                left[(row[:, None] == near).sum(1) >= most] = -np.inf
        if left.max() > -np.inf:
            return left
        rules -= 1
    return objective


def check(lists: Lists, answer: Any, diversity: Diversity) -> str:
    """Compares the picks of up to CHECKED lists, from the first to the last, with those of `greedy`."""
    batch = len(lists.offsets) - 1
    got = np.asarray(answer)
    if got.shape != (batch, lists.k):
        raise Wrong(f"expected picks of shape {(batch, lists.k)}, got {got.shape}")
    vectors, rewards = (part.double().numpy() for part in lists.padded)
    chosen = np.unique(np.linspace(0, batch - 1, CHECKED).astype(int))
    kinds = [None if lists.rules is None else lists.rules.kinds.view(-1, *rewards.shape)[:, b].numpy() for b in chosen]
    truth = [
        greedy(vectors[b], rewards[b], lists.k, lists.window, diversity, its)
        for b, its in zip(chosen, kinds, strict=True)
    ]
    share = float((got[chosen] == np.array(truth)).mean())
    if share == 1:
        return "exact"
    if share < ENOUGH:
        raise Wrong(f"only {share:.1%} of the picks are a brute force's")
    return Near(share, "of picks")
