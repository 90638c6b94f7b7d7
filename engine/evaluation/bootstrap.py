"""How sure a mean over users is: percentile intervals by the bootstrap (Efron, 1979), the same for the same seed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headrace.arrays import Array, Floats, at_least_one, reals, to_numpy

#: Users drawn at a time, over all resamples: what a block takes is 8 bytes each.
_BLOCK = 1 << 22


class Interval(NamedTuple):
    """A mean, and the bounds that hold 95 % of the resampled means; NaN where nothing is known."""

    mean: float
    low: float
    high: float


def intervals(values: Array, draws: int = 1000, seed: int = 0, level: float = 0.95) -> list[Interval]:
    """The mean of each row of `values` (float [M, R], one number a user; NaN: not known of this user) and its interval.

    Users are drawn with replacement, all M rows from the same draws. The interval of a difference between two lists is
    that of the users' differences: `interval(a - b)`. Raises ValueError for draws below 1 or a level outside (0, 1).
    """
    given = np.asarray(to_numpy(values), np.float64)
    if given.ndim != 2:
        raise ValueError(f"values: expected 2 dimensions, got shape {given.shape}")
    if not 0 < level < 1:
        raise ValueError(f"level: expected more than 0 and less than 1, got {level:g}")
    known = ~np.isnan(given)
    filled = reals(np.where(known, given, 0.0), "values", ndim=2)
    # Of rows that know all users the counts are all the same.
    partial = np.flatnonzero(~known.all(1))
    stacked = np.concatenate([filled, known[partial].astype(np.float64)])
    sums = _resampled(stacked, at_least_one(draws, "draws"), seed)
    size = np.full((len(given), draws), float(given.shape[1]))
    size[partial] = sums[len(given) :]
    means = np.divide(sums[: len(given)], size, out=np.full_like(size, np.nan), where=size > 0)
    centre = np.divide(filled.sum(1), known.sum(1), out=np.full(len(given), np.nan), where=known.any(1))
    bounds, some = np.full((2, len(given)), np.nan), known.any(1)
    if some.any():
        bounds[:, some] = np.nanquantile(means[some], [(1 - level) / 2, (1 + level) / 2], axis=1)
    return [Interval(*row) for row in zip(centre.tolist(), *bounds.tolist(), strict=True)]


def interval(values: Array, draws: int = 1000, seed: int = 0, level: float = 0.95) -> Interval:
    """The mean of `values` (float [R], one number a user) and its interval, see `intervals`."""
    given = np.asarray(to_numpy(values), np.float64)
    if given.ndim != 1:
        raise ValueError(f"values: expected 1 dimension, got shape {given.shape}")
    return intervals(given[None], draws, seed, level)[0]


def _resampled(values: Floats, draws: int, seed: int) -> Floats:
    """float64 [M, draws]: the sum of each row over each resample of the columns."""
    rows, users = values.shape
    rng = np.random.default_rng(seed)
    out = np.zeros((rows, draws))
    block = max(1, _BLOCK // max(users, 1))
    for start in range(0, draws if users else 0, block):
        size = min(block, draws - start)
        drawn = rng.integers(0, users, (size, users)) + np.arange(size)[:, None] * users
        times = np.bincount(drawn.ravel(), minlength=size * users).reshape(size, users)
        out[:, start : start + size] = values @ times.T.astype(np.float64)
    return out
