"""The definitions of greedy DPP and MMR in float64, and the greedy loop that they share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.kernels.diversity.picks import check_values

Floats = NDArray[np.float64]
#: The objective of every item of one list, given the picks so far.
Objective = Callable[[list[int]], Floats]
#: Less than this part of a vector's square, float64 cannot tell a squared distance from 0.
ROUNDING = 2.0**-40
_MOST = float(np.finfo(np.float32).max)


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
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    def of_list(v: Floats, r: Floats) -> Objective:
        def objective(history: list[int]) -> Floats:
            held = history if window is None else history[-window:]
            score: Floats = theta * r + (1 - theta) * _log_distance(v, v[held], eps)
            return score

        return objective

    picked, gain, ruled = greedy(vectors, rewards, offsets, k, kinds, limits, pinned, of_list)
    return picked, gain, ruled, _logdet(vectors, offsets, picked, window, eps)


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
) -> tuple[Tensor, Tensor, Tensor]:
    def of_list(v: Floats, r: Floats) -> Objective:
        likeness: dict[int, Floats] = {}

        def objective(history: list[int]) -> Floats:
            if not history:
                return np.array(r)
            if history[-1] not in likeness:
                likeness[history[-1]] = _products(v, v[history[-1]])
            held = history if window is None else history[-window:]
            score: Floats = theta * r - (1 - theta) * np.max([likeness[item] for item in held], axis=0)
            return score

        return objective

    picked, gain, ruled = greedy(vectors, rewards, offsets, k, kinds, limits, pinned, of_list)
    # The first pick goes by reward alone; its objective has no likeness to subtract.
    gain[:, 0] = (theta * gain[:, 0].double()).float().masked_fill(picked[:, 0] < 0, -np.inf)
    return picked, gain, ruled


def _log_distance(v: Floats, held: Floats, eps: float) -> Floats:
    """log max(d2, eps) for the squared distance d2 of each row of `v` from the span of `held`."""
    rest = v.copy()
    # A difference of squares would lose the small; projecting twice removes what rounding leaves of the first time.
    for direction in [*(basis := _basis(held, eps)), *basis]:
        rest -= _products(rest, direction)[:, None] * direction
    out: Floats = np.log(np.maximum(_seen(_products(rest, rest), _products(v, v)), eps))
    return out


def _logdet(vectors: Tensor, offsets: Tensor, picked: Tensor, window: int | None, eps: float) -> Tensor:
    """float32 [B, k]: each pick's log distance from the window before it, summed up to that pick."""
    out = torch.full(picked.shape, -torch.inf, dtype=torch.float32, device="cpu")
    for b, row in enumerate(picked.tolist()):
        items = [item for item in row if item >= 0]
        rows = vectors[offsets[b] : offsets[b + 1]][items].cpu().double().numpy()
        first = [0 if window is None else max(0, t - window) for t in range(len(items))]
        steps = [float(_log_distance(rows[t : t + 1], rows[first[t] : t], eps)[0]) for t in range(len(items))]
        out[b, : len(items)] = torch.tensor(steps, dtype=torch.float64, device="cpu").cumsum(0).float()
    return out.to(picked.device)


def _basis(rows: Floats, eps: float) -> Floats:
    """An orthonormal basis of the span of `rows`; a row within sqrt(eps) of the span of those before adds nothing."""
    basis = np.zeros((0, rows.shape[1]))
    for row in rows:
        rest = row - (row @ basis.T) @ basis
        rest = rest - (rest @ basis.T) @ basis
        if _seen(rest @ rest, row @ row) > eps:
            basis = np.vstack([basis, rest / np.sqrt(rest @ rest)])
    return basis


def _seen(d2: Floats, square: Floats) -> Floats:
    """d2, 0 where it is no more than what rounding may leave of the vector's square."""
    return np.where(d2 < ROUNDING * square, 0.0, d2)


def _products(rows: Floats, others: Floats) -> Floats:
    """Inner products row by row, each summed in the same order, so that equal rows tie: a matrix product would not."""
    out: Floats = (rows * others).sum(1)
    return out


def greedy(
    vectors: Tensor,
    rewards: Tensor,
    offsets: Tensor,
    k: int,
    kinds: Tensor | None,
    limits: Tensor | None,
    pinned: Tensor | None,
    of_list: Callable[[Floats, Floats], Objective],
) -> tuple[Tensor, Tensor, Tensor]:
    """Picks by the objective that `of_list` makes from a list's vectors and rewards, under the rules and pins."""
    check_values(vectors, rewards, offsets, pinned)
    batch = offsets.shape[0] - 1
    picked = np.full((batch, k), -1, np.int64)
    gain = np.full((batch, k), -np.inf, np.float32)
    ruled = np.zeros((batch, 2), np.int64)
    v, r = vectors.cpu().double().numpy(), rewards.cpu().double().numpy()
    rows = np.zeros((0, len(v)), np.int32) if kinds is None else kinds.cpu().numpy()
    spans = [] if limits is None else limits.tolist()
    pins = np.full((batch, k), -1) if pinned is None else pinned.cpu().numpy()
    for b, (first, last) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        objective = of_list(v[first:last], r[first:last])
        history: list[int] = []
        for t in range(min(k, last - first)):
            score = objective(history)
            choice = int(pins[b, t])
            if choice >= 0:
                ruled[b, 0] += not _within(rows[:, first:last], spans, history)[choice]
            else:
                taken = history + [pin for pin in pins[b, t:] if pin >= 0]
                allowed, relaxed = _allowed(rows[:, first:last], spans, history, taken)
                free = np.array(score)
                free[taken] = -np.inf
                choice = int(np.where(allowed, free, -np.inf).argmax())
                ruled[b] += relaxed, choice != int(free.argmax())
            picked[b, t], gain[b, t] = choice, np.clip(score[choice], -_MOST, _MOST)
            history.append(choice)
    device = vectors.device
    return torch.from_numpy(picked).to(device), torch.from_numpy(gain).to(device), torch.from_numpy(ruled).to(device)


def _allowed(
    kinds: NDArray[np.int32], limits: list[list[int]], history: list[int], taken: list[int]
) -> tuple[NDArray[np.bool_], bool]:
    """Items that may come next, and whether a rule had to be dropped (from the last on) to leave any."""
    free = np.ones(kinds.shape[1], np.bool_)
    free[taken] = False
    for kept in range(len(limits), -1, -1):
        allowed: NDArray[np.bool_] = free & _within(kinds[:kept], limits[:kept], history)
        if allowed.any():
            return allowed, kept < len(limits)
    raise AssertionError("no item left")


def _within(kinds: NDArray[np.int32], limits: list[list[int]], history: list[int]) -> NDArray[np.bool_]:
    """Items that no rule forbids after the picks of `history`."""
    allowed = np.ones(kinds.shape[1], np.bool_)
    for kind, (span, most, prefix) in zip(kinds, limits, strict=True):
        if prefix and len(history) >= span:
            continue
        recent = kind[history[-(span - 1) :]] if span > 1 else kind[:0]
        count = (kind[:, None] == recent[None, :]).sum(1)
        allowed &= (kind < 0) | (count < most)
    return allowed
