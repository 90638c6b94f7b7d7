"""Candidates of many requests, for the benchmarks of what is asked about each, and the check of their numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.benchmarks.harness.case import Near, Wrong
from headrace.kernels.work import Work

#: Candidates whose numbers are checked.
CHECKED = 512
#: What of a peer's numbers must lie within the bound, and how far beyond it the others may lie.
ENOUGH, FAR = 0.9, 30


def ragged(batch: int, each: int) -> Tensor:
    """int64 [B + 1]: offsets of lists a fifth shorter to a fifth longer than `each`, batch * each entries in all."""
    steps = (2 * torch.arange(batch) - (batch - 1)) * each
    counts = each + torch.div(steps, 5 * max(batch - 1, 1), rounding_mode="trunc")
    counts = counts[torch.randperm(batch, generator=torch.Generator().manual_seed(2))]
    return torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])


def drawn(offsets: Tensor, items: int) -> Tensor:
    """int64 [n]: distinct items in each list, anywhere in a catalogue of `items`."""
    generator = torch.Generator().manual_seed(3)
    anywhere = torch.randperm(items, generator=generator)
    starts = torch.randint(0, items, (len(offsets) - 1,), generator=generator)
    place = torch.arange(int(offsets[-1])) + torch.repeat_interleave(starts - offsets[:-1], offsets.diff())
    return anywhere[place % items]


def again(work: Work, batch: int, each: int, items: int, row: float) -> Work:
    """`work`, of whose bytes each item's `row` bytes are read once for every request that has it."""
    distinct = items * (1 - (1 - min(each / items, 1.0)) ** batch)
    return replace(work, touched=work.bytes - max(batch * each - distinct, 0.0) * row)


def sample(n: int) -> NDArray[np.int64]:
    """Up to CHECKED positions below n, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, CHECKED).astype(int))


def within(answer: NDArray[np.float32], truth: NDArray[np.float64], slack: NDArray[np.float64]) -> str:
    """Whether all numbers lie within `slack` of the truth, or a peer's nearly do. Raises Wrong."""
    off = np.abs(answer - truth) / slack
    if bool((off <= 1).all()):
        return "within float32 rounding"
    share = float((off <= 1).mean())
    if share < ENOUGH or not float(off.max()) <= FAR:
        raise Wrong(f"off by up to {float(off.max()):.1f} times what float32 may be, {share:.1%} within it")
    return Near(share, "of numbers within float32 rounding")
