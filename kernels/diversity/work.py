"""What greedy DPP and maximal marginal relevance must do."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from headrace.kernels.work import Counted, Work


def dpp_work(batch: int, items: int, dim: int, k: int, window: int | None = None, rules: int = 0) -> Work:
    """`batch` lists of `items` each."""
    return dpp_work_of(np.full(batch, items), dim, k, window, rules)


def dpp_work_of(counts: NDArray[np.int64], dim: int, k: int, window: int | None = None, rules: int = 0) -> Work:
    """Lists of `counts` items: squared norms, and after each pick but the last the new direction's coordinate of each
    item that is left: a product with the pick, one with its coordinates in the window, and d2's change.

    The logarithms and the comparisons of the objective, and the rules, are left out. It is what a greedy that looks at
    every item does, in float32: one that proves that items cannot win, and leaves them, can do less.
    """
    flops = picking(counts, k, _each(dim, k, window)) + 2.0 * dim * counts.sum()
    return Work(flops, moved(counts, dim, k, rules))


def mmr_work(batch: int, items: int, dim: int, k: int, rules: int = 0) -> Work:
    """`batch` lists of `items` each. A window changes nothing: likenesses are computed once and kept."""
    return mmr_work_of(np.full(batch, items), dim, k, rules)


def mmr_work_of(counts: NDArray[np.int64], dim: int, k: int, rules: int = 0) -> Work:
    """Lists of `counts` items: after each pick but the last, its product with each item that is left.

    Comparisons and the objective are left out. It is what a greedy that looks at every item does, in float32.
    """
    each = np.full(max(k - 1, 0), 2.0 * dim)
    return Work(picking(counts, k, each), moved(counts, dim, k, rules))


@lru_cache(64)
def _each(dim: int, k: int, window: int | None) -> NDArray[np.float64]:
    """Operations after each pick but the last, for an item that is left."""
    held = np.arange(max(k - 1, 0))  # directions known before the pick
    if window is not None:
        held = np.minimum(held, window - 1)
    return (2 * dim + 2 * held + 2).astype(np.float64)


def picking(counts: NDArray[np.int64], k: int, each: NDArray[np.float64]) -> float:
    """Operations of k picks from lists of `counts` items, where pick t costs each[t] for every item left after it."""
    picks = np.maximum(np.minimum(counts, k) - 1, 0)
    costs = np.concatenate([[0.0], np.cumsum(each)])
    taken = np.concatenate([[0.0], np.cumsum(each * np.arange(1, len(each) + 1))])
    return float((counts * costs[picks] - taken[picks]).sum())


def moved(counts: NDArray[np.int64], dim: int, k: int, rules: int) -> float:
    """Bytes: vectors, rewards, kinds and offsets read; positions, gains and what the rules did written."""
    batch = len(counts)
    return float(counts.sum() * (4 * dim + 4 + 4 * rules) + 8 * (batch + 1) + batch * (12 * k + 16))


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
) -> Counted:
    """A call, counted: items in, picks out."""
    counts = offsets.diff().cpu().numpy()
    rules = 0 if kinds is None else kinds.shape[0]
    picks = int(np.minimum(counts, k).sum())
    return Counted(vectors.shape[0], picks, dpp_work_of(counts, vectors.shape[1], k, window, rules))


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
) -> Counted:
    """A call, counted: items in, picks out."""
    counts = offsets.diff().cpu().numpy()
    rules = 0 if kinds is None else kinds.shape[0]
    picks = int(np.minimum(counts, k).sum())
    return Counted(vectors.shape[0], picks, mmr_work_of(counts, vectors.shape[1], k, rules))
