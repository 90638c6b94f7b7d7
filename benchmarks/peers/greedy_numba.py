"""Greedy DPP and MMR compiled by numba: lists in parallel, plain loops that LLVM vectorises, in float32."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Kinds = NDArray[np.int32]
#: kinds int32 [R, nnz] and limits int64 [R, 3]: span, most, prefix.
RuleArrays = tuple[Kinds, Ints]
_NO_RULES = (np.empty((0, 0), np.int32), np.empty((0, 3), np.int64))


def _products(v: Floats, j: int, out: Floats) -> None:
    """out[i] = <v[i], v[j]>."""
    for i in range(v.shape[0]):
        total = np.float32(0)
        for c in range(v.shape[1]):
            total += v[i, c] * v[j, c]
        out[i] = total


def _score(reward: Floats, share: np.float32, d2: Floats, eps: np.float32, objective: Floats) -> None:
    """In a loop of its own, so that its logarithms are taken side by side."""
    for i in range(len(reward)):
        objective[i] = reward[i] + share * np.log(max(d2[i], eps))


def _choose(objective: Floats, left: Floats, kinds: Kinds, limits: Ints, counts: Ints, out: Ints, t: int) -> None:
    """Sets out[t] to the best position that the rules allow; the last are dropped as long as they leave none.

    counts[r, c]: how many of the picks that rule r looks back on are of kind c.
    """
    kept = len(limits)
    while kept > 0:
        left[:] = objective
        for r in range(kept):
            if limits[r, 2] == 0 or t < limits[r, 0]:
                for i in range(len(left)):
                    if counts[r, kinds[r, i]] >= limits[r, 1]:
                        left[i] = -np.inf
        out[t] = _largest(left)
        if left[out[t]] > -np.inf:
            break
        kept -= 1
    if kept == 0:
        out[t] = _largest(objective)
    for r in range(len(limits)):
        counts[r, kinds[r, out[t]]] += 1
        if t + 1 >= limits[r, 0]:
            counts[r, kinds[r, out[t + 1 - limits[r, 0]]]] -= 1


def _largest(objective: Floats) -> int:
    best = 0
    for i in range(len(objective)):
        if objective[i] > objective[best]:
            best = i
    return best


def _dpp_all(
    v: Floats, reward: Floats, share: np.float32, eps: np.float32, kinds: Kinds, limits: Ints, counts: Ints, out: Ints
) -> None:
    n = v.shape[0]
    left = np.empty(n, np.float32)
    basis = np.zeros((len(out), n), np.float32)
    d2 = np.zeros(n, np.float32)
    objective = np.empty(n, np.float32)
    for i in range(n):
        for c in range(v.shape[1]):
            d2[i] += v[i, c] * v[i, c]
    for t in range(len(out)):
        _score(reward, share, d2, eps, objective)
        _choose(objective, left, kinds, limits, counts, out, t)
        j = out[t]
        reward[j] = -np.inf
        row = basis[t]
        _products(v, j, row)
        for s in range(t):
            weight = basis[s, j]
            for i in range(n):
                row[i] -= weight * basis[s, i]
        scale = np.float32(1) / np.sqrt(max(d2[j], eps))
        for i in range(n):
            row[i] *= scale
            d2[i] -= row[i] * row[i]


def _dpp_window(
    v: Floats,
    reward: Floats,
    share: np.float32,
    eps: np.float32,
    window: int,
    kinds: Kinds,
    limits: Ints,
    counts: Ints,
    out: Ints,
) -> None:
    """Over the last `window` picks: their Cholesky factor is built row by row anew, oldest pick first."""
    n = v.shape[0]
    left = np.empty(n, np.float32)
    rows = np.zeros((window, n), np.float32)
    basis = np.zeros((window, n), np.float32)
    norms = np.zeros(n, np.float32)
    objective = np.empty(n, np.float32)
    for i in range(n):
        for c in range(v.shape[1]):
            norms[i] += v[i, c] * v[i, c]
    d2 = norms.copy()
    for t in range(len(out)):
        _score(reward, share, d2, eps, objective)
        _choose(objective, left, kinds, limits, counts, out, t)
        j = out[t]
        reward[j] = -np.inf
        _products(v, j, rows[t % window])
        d2[:] = norms
        first = max(t + 1 - window, 0)
        for s in range(first, t + 1):
            member, row = out[s], basis[s - first]
            row[:] = rows[s % window]
            for r in range(s - first):
                weight = basis[r, member]
                for i in range(n):
                    row[i] -= weight * basis[r, i]
            scale = np.float32(1) / np.sqrt(max(d2[member], eps))
            for i in range(n):
                row[i] *= scale
                d2[i] -= row[i] * row[i]


def _dpp(
    vectors: Floats,
    rewards: Floats,
    offsets: Ints,
    k: int,
    theta: np.float32,
    window: int,
    eps: np.float32,
    all_kinds: Kinds,
    limits: Ints,
    most_kinds: int,
) -> Ints:
    out = np.empty((len(offsets) - 1, k), np.int64)
    for b in numba.prange(len(offsets) - 1):
        v = vectors[offsets[b] : offsets[b + 1]]
        reward = theta * rewards[offsets[b] : offsets[b + 1]]
        kinds = all_kinds[:, offsets[b] : offsets[b + 1]]
        counts = np.zeros((len(limits), most_kinds), np.int64)
        if window == 0:
            _dpp_all(v, reward, np.float32(1) - theta, eps, kinds, limits, counts, out[b])
        else:
            _dpp_window(v, reward, np.float32(1) - theta, eps, window, kinds, limits, counts, out[b])
    return out


def _mmr(
    vectors: Floats,
    rewards: Floats,
    offsets: Ints,
    k: int,
    theta: np.float32,
    window: int,
    all_kinds: Kinds,
    limits: Ints,
    most_kinds: int,
) -> Ints:
    out = np.empty((len(offsets) - 1, k), np.int64)
    for b in numba.prange(len(offsets) - 1):
        v = vectors[offsets[b] : offsets[b + 1]]
        reward = theta * rewards[offsets[b] : offsets[b + 1]]
        n, share = v.shape[0], np.float32(1) - theta
        likeness = np.full((max(window, 2), n), -np.inf, np.float32)
        objective = reward.copy()
        left = reward.copy()
        kinds = all_kinds[:, offsets[b] : offsets[b + 1]]
        counts = np.zeros((len(limits), most_kinds), np.int64)
        for t in range(k):
            _choose(objective, left, kinds, limits, counts, out[b], t)
            j = out[b, t]
            reward[j] = -np.inf
            if window == 0:
                _products(v, j, likeness[1])
                for i in range(n):
                    likeness[0, i] = max(likeness[0, i], likeness[1, i])
                    objective[i] = reward[i] - share * likeness[0, i]
            else:
                _products(v, j, likeness[t % window])
                objective[:] = likeness[0]
                for s in range(1, window):
                    for i in range(n):
                        objective[i] = max(objective[i], likeness[s, i])
                for i in range(n):
                    objective[i] = reward[i] - share * objective[i]
    return out


def dpp(
    vectors: Floats,
    rewards: Floats,
    offsets: Ints,
    k: int,
    theta: np.float32,
    window: int,
    eps: np.float32,
    rules: RuleArrays | None = None,
) -> Ints:
    """int64 [B, k]: positions in each list, of k items or more. window: 0 for all picks."""
    kinds, limits = rules or _NO_RULES
    return _dpp(vectors, rewards, offsets, k, theta, window, eps, kinds, limits, int(kinds.max(initial=0)) + 1)


def mmr(
    vectors: Floats,
    rewards: Floats,
    offsets: Ints,
    k: int,
    theta: np.float32,
    window: int,
    rules: RuleArrays | None = None,
) -> Ints:
    """int64 [B, k]: positions in each list, of k items or more. window: 0 for all picks."""
    kinds, limits = rules or _NO_RULES
    return _mmr(vectors, rewards, offsets, k, theta, window, kinds, limits, int(kinds.max(initial=0)) + 1)


# No NaN and no rounding order is promised, but infinities are used: "ninf" stays out.
_FAST = {"nnan", "nsz", "arcp", "contract", "reassoc"}
_products = numba.njit(fastmath=_FAST, cache=True)(_products)
_largest = numba.njit(cache=True)(_largest)
_score = numba.njit(fastmath=_FAST, cache=True)(_score)
_choose = numba.njit(cache=True)(_choose)
_dpp_all = numba.njit(fastmath=_FAST, cache=True)(_dpp_all)
_dpp_window = numba.njit(fastmath=_FAST, cache=True)(_dpp_window)
_dpp = numba.njit(parallel=True, fastmath=_FAST, cache=True)(_dpp)
_mmr = numba.njit(parallel=True, fastmath=_FAST, cache=True)(_mmr)
