"""What maximal marginal relevance must do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from headrace.kernels.dpp.work import moved, picking
from headrace.kernels.work import Counted, Work


def work(batch: int, items: int, dim: int, k: int, rules: int = 0) -> Work:
    """`batch` lists of `items` each. A window changes nothing: likenesses are computed once and kept."""
    return of_lists(np.full(batch, items), dim, k, rules)


def of_lists(counts: NDArray[np.int64], dim: int, k: int, rules: int = 0) -> Work:
    """Lists of `counts` items: after each pick but the last, its product with each item that is left.

    Comparisons and the objective are left out. It is what a greedy that looks at every item does, in float32.
    """
    each = np.full(max(k - 1, 0), 2.0 * dim)
    return Work(picking(counts, k, each), moved(counts, dim, k, rules))


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
    return Counted(vectors.shape[0], picks, of_lists(counts, vectors.shape[1], k, rules))
