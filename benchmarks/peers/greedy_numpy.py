"""Greedy DPP and MMR in NumPy, one list after the other, in float32: as published, vectorised over items."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
#: kinds int32 [R, nnz] and limits int64 [R, 3]: span, most, prefix.
RuleArrays = tuple[NDArray[np.int32], Ints]


class _Ruled:
    """Rules of one list: how often each kind stands among the picks that a rule looks back on."""

    def __init__(self, rules: RuleArrays | None, start: int, stop: int) -> None:
        kinds, limits = rules if rules is not None else (np.empty((0, stop), np.int32), np.empty((0, 3), np.int64))
        rows = list(kinds[:, start:stop])
        self._rules = [
            (row, span, most, prefix, np.zeros(int(row.max()) + 1, np.int64))
            for row, (span, most, prefix) in zip(rows, limits.tolist(), strict=True)
        ]
        self._picked: list[int] = []

    def best(self, objective: Floats) -> int:
        """The best item that the rules allow; the last are dropped as long as they leave none."""
        if not self._rules:
            return int(objective.argmax())
        for kept in range(len(self._rules), 0, -1):
            left = np.where(self._forbidden(kept), np.float32(-np.inf), objective)
            j = int(left.argmax())
            if left[j] > -np.inf:
                return j
        return int(objective.argmax())

    def _forbidden(self, kept: int) -> NDArray[np.bool_]:
        forbidden = np.zeros(len(self._rules[0][0]), bool)
        for kinds, span, most, prefix, counts in self._rules[:kept]:
            if not prefix or len(self._picked) < span:
                forbidden |= (counts >= most)[kinds]
        return forbidden

    def add(self, j: int) -> None:
        self._picked.append(j)
        for kinds, span, _, _, counts in self._rules:
            counts[kinds[j]] += 1
            if len(self._picked) >= span:
                counts[kinds[self._picked[-span]]] -= 1


def dpp(
    vectors: Floats,
    rewards: Floats,
    offsets: Ints,
    k: int,
    theta: float,
    window: int | None,
    eps: float,
    rules: RuleArrays | None = None,
) -> Ints:
    """int64 [B, k]: positions in each list, of k items or more."""
    pick = _dpp_all if window is None else _dpp_window
    out = np.empty((len(offsets) - 1, k), np.int64)
    for b, (start, stop) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        ruled = _Ruled(rules, start, stop)
        pick(vectors[start:stop], theta * rewards[start:stop], 1 - theta, window or k, eps, ruled, out[b])
    return out


def _dpp_all(v: Floats, reward: Floats, share: float, window: int, eps: float, ruled: _Ruled, out: Ints) -> None:
    """Chen, Zhang, Zhou, NeurIPS 2018, algorithm 1: one row of the Cholesky factor a pick, kernel rows on demand."""
    basis = np.zeros((len(out), len(v)), np.float32)
    d2 = np.einsum("nd,nd->n", v, v)
    for t in range(len(out)):
        j = ruled.best(reward + share * np.log(np.maximum(d2, eps)))
        out[t] = j
        ruled.add(j)
        reward[j] = -np.inf
        if d2[j] <= eps:  # it lies in the span of the others: its row stays zero
            continue
        row = basis[t]
        np.matmul(v, v[j], out=row)
        row -= basis[:t, j] @ basis[:t]
        row /= np.sqrt(d2[j])
        d2 -= row * row


def _dpp_window(v: Floats, reward: Floats, share: float, window: int, eps: float, ruled: _Ruled, out: Ints) -> None:
    """The same over the last picks: their factor is so small that building it anew beats rotating it row by row."""
    rows = np.zeros((window, len(v)), np.float32)
    members = np.zeros(window, np.int64)
    norms = np.einsum("nd,nd->n", v, v)
    ridge = np.float32(eps) * np.eye(window, dtype=np.float32)
    d2 = norms
    for t in range(len(out)):
        j = ruled.best(reward + share * np.log(np.maximum(d2, eps)))
        out[t] = j
        ruled.add(j)
        reward[j] = -np.inf
        np.matmul(v, v[j], out=rows[t % window])
        members[t % window] = j
        held = min(t + 1, window)
        gram = rows[:held, members[:held]] + ridge[:held, :held]
        whitened = np.linalg.inv(np.linalg.cholesky(gram)) @ rows[:held]
        d2 = norms - np.einsum("tn,tn->n", whitened, whitened)


def mmr(
    vectors: Floats,
    rewards: Floats,
    offsets: Ints,
    k: int,
    theta: float,
    window: int | None,
    rules: RuleArrays | None = None,
) -> Ints:
    """int64 [B, k]: positions in each list, of k items or more. Carbonell, Goldstein, SIGIR 1998."""
    out = np.empty((len(offsets) - 1, k), np.int64)
    for b, (start, stop) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        ruled = _Ruled(rules, start, stop)
        _mmr(vectors[start:stop], theta * rewards[start:stop], 1 - theta, window, ruled, out[b])
    return out


def _mmr(v: Floats, reward: Floats, share: float, window: int | None, ruled: _Ruled, out: Ints) -> None:
    likeness = np.full((window or 1, len(v)), -np.inf, np.float32)
    objective = reward
    for t in range(len(out)):
        j = ruled.best(objective)
        out[t] = j
        ruled.add(j)
        reward[j] = -np.inf
        if window is None:
            np.maximum(likeness[0], v @ v[j], out=likeness[0])
            objective = reward - share * likeness[0]
        else:
            np.matmul(v, v[j], out=likeness[t % window])
            objective = reward - share * likeness[: t + 1].max(0)
