"""Greedy DPP and MMR compiled by numba: lists in parallel, plain loops that LLVM vectorises, in float32."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def _products(v: Floats, j: int, out: Floats) -> None:
    """out[i] = <v[i], v[j]>."""
    for i in range(v.shape[0]):
        total = np.float32(0)
        for c in range(v.shape[1]):
            total += v[i, c] * v[j, c]
        out[i] = total


def _best(reward: Floats, share: np.float32, d2: Floats, eps: np.float32, objective: Floats) -> int:
    """The best position; the objective in a loop of its own, so that its logarithms are taken side by side."""
    for i in range(len(reward)):
        objective[i] = reward[i] + share * np.log(max(d2[i], eps))
    return _largest(objective)


def _largest(objective: Floats) -> int:
    best = 0
    for i in range(len(objective)):
        if objective[i] > objective[best]:
            best = i
    return best


def _dpp_all(v: Floats, reward: Floats, share: np.float32, eps: np.float32, out: Ints) -> None:
    n = v.shape[0]
    basis = np.zeros((len(out), n), np.float32)
    d2 = np.zeros(n, np.float32)
    objective = np.empty(n, np.float32)
    for i in range(n):
        for c in range(v.shape[1]):
            d2[i] += v[i, c] * v[i, c]
    for t in range(len(out)):
        j = _best(reward, share, d2, eps, objective)
        out[t] = j
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


def _dpp_window(v: Floats, reward: Floats, share: np.float32, eps: np.float32, window: int, out: Ints) -> None:
    """Over the last `window` picks: their Cholesky factor is built row by row anew, oldest pick first."""
    n = v.shape[0]
    rows = np.zeros((window, n), np.float32)
    basis = np.zeros((window, n), np.float32)
    norms = np.zeros(n, np.float32)
    objective = np.empty(n, np.float32)
    for i in range(n):
        for c in range(v.shape[1]):
            norms[i] += v[i, c] * v[i, c]
    d2 = norms.copy()
    for t in range(len(out)):
        j = _best(reward, share, d2, eps, objective)
        out[t] = j
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
    vectors: Floats, rewards: Floats, offsets: Ints, k: int, theta: np.float32, window: int, eps: np.float32
) -> Ints:
    """int64 [B, k]: positions in each list, of k items or more. window: 0 for all picks."""
    out = np.empty((len(offsets) - 1, k), np.int64)
    for b in numba.prange(len(offsets) - 1):
        v = vectors[offsets[b] : offsets[b + 1]]
        reward = theta * rewards[offsets[b] : offsets[b + 1]]
        if window == 0:
            _dpp_all(v, reward, np.float32(1) - theta, eps, out[b])
        else:
            _dpp_window(v, reward, np.float32(1) - theta, eps, window, out[b])
    return out


def _mmr(vectors: Floats, rewards: Floats, offsets: Ints, k: int, theta: np.float32, window: int) -> Ints:
    """int64 [B, k]: positions in each list, of k items or more. window: 0 for all picks."""
    out = np.empty((len(offsets) - 1, k), np.int64)
    for b in numba.prange(len(offsets) - 1):
        v = vectors[offsets[b] : offsets[b + 1]]
        reward = theta * rewards[offsets[b] : offsets[b + 1]]
        n, share = v.shape[0], np.float32(1) - theta
        likeness = np.full((max(window, 2), n), -np.inf, np.float32)
        objective = reward.copy()
        for t in range(k):
            j = _largest(objective)
            out[b, t] = j
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


# No NaN and no rounding order is promised, but infinities are used: "ninf" stays out.
_FAST = {"nnan", "nsz", "arcp", "contract", "reassoc"}
_products = numba.njit(fastmath=_FAST, cache=True)(_products)
_largest = numba.njit(cache=True)(_largest)
_best = numba.njit(fastmath=_FAST, cache=True)(_best)
_dpp_all = numba.njit(fastmath=_FAST, cache=True)(_dpp_all)
_dpp_window = numba.njit(fastmath=_FAST, cache=True)(_dpp_window)
dpp = numba.njit(parallel=True, fastmath=_FAST, cache=True)(_dpp)
mmr = numba.njit(parallel=True, fastmath=_FAST, cache=True)(_mmr)
