"""The definition of greedy DPP in float64, and the greedy loop that MMR shares."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.kernels.dpp.picks import check_values

Floats = NDArray[np.float64]
#: The objective of every item of one list, given the picks so far.
Objective = Callable[[list[int]], Floats]


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
    threads: int,
) -> tuple[Tensor, Tensor, Tensor]:
    def of_list(v: Floats, r: Floats) -> Objective:
        def objective(history: list[int]) -> Floats:
            held = history if window is None else history[-window:]
            basis = _basis(v[held], eps)
            d2 = (v * v).sum(1) - ((v @ basis.T) ** 2).sum(1)
            score: Floats = theta * r + (1 - theta) * np.log(np.maximum(d2, eps))
            return score

        return objective

    return greedy(vectors, rewards, offsets, k, kinds, limits, of_list)


def _basis(rows: Floats, eps: float) -> Floats:
    """An orthonormal basis of the span of `rows`; a row within sqrt(eps) of the span of those before adds nothing."""
    basis = np.zeros((0, rows.shape[1]))
    for row in rows:
        # Projecting twice removes what rounding leaves of the first time.
        rest = row - (row @ basis.T) @ basis
        rest = rest - (rest @ basis.T) @ basis
        if rest @ rest > eps:
            basis = np.vstack([basis, rest / np.sqrt(rest @ rest)])
    return basis


def greedy(
    vectors: Tensor,
    rewards: Tensor,
    offsets: Tensor,
    k: int,
    kinds: Tensor | None,
    limits: Tensor | None,
    of_list: Callable[[Floats, Floats], Objective],
) -> tuple[Tensor, Tensor, Tensor]:
    """Picks by the objective that `of_list` makes from a list's vectors and rewards, under the rules."""
    check_values(vectors, rewards, offsets)
    batch = offsets.shape[0] - 1
    picked = np.full((batch, k), -1, np.int64)
    gain = np.full((batch, k), -np.inf, np.float32)
    ruled = np.zeros((batch, 2), np.int64)
    v, r = vectors.cpu().double().numpy(), rewards.cpu().double().numpy()
    rows = np.zeros((0, len(v)), np.int32) if kinds is None else kinds.cpu().numpy()
    spans = [] if limits is None else limits.tolist()
    for b, (first, last) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        objective = of_list(v[first:last], r[first:last])
        history: list[int] = []
        for t in range(min(k, last - first)):
            score = objective(history)
            score[history] = -np.inf
            allowed, relaxed = _allowed(rows[:, first:last], spans, history)
            choice = int(np.where(allowed, score, -np.inf).argmax())
            ruled[b] += relaxed, choice != int(score.argmax())
            picked[b, t], gain[b, t] = choice, score[choice]
            history.append(choice)
    device = vectors.device
    return torch.from_numpy(picked).to(device), torch.from_numpy(gain).to(device), torch.from_numpy(ruled).to(device)


def _allowed(kinds: NDArray[np.int32], limits: list[list[int]], history: list[int]) -> tuple[NDArray[np.bool_], bool]:
    """Items that may come next, and whether a rule had to be dropped (from the last on) to leave any."""
    free = np.ones(kinds.shape[1], np.bool_)
    free[history] = False
    for kept in range(len(limits), -1, -1):
        allowed = free.copy()
        for kind, (span, most, prefix) in zip(kinds[:kept], limits[:kept], strict=True):
            if prefix and len(history) >= span:
                continue
            recent = kind[history[-(span - 1) :]] if span > 1 else kind[:0]
            count = (kind[:, None] == recent[None, :]).sum(1)
            allowed &= (kind < 0) | (count < most)
        if allowed.any():
            return allowed, kept < len(limits)
    raise AssertionError("no item left")
