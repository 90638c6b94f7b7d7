"""Re-ranking as one writes it today: the fast greedy of DPP in NumPy, page rules in Python, request by request."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
#: kind: of each candidate, -1 none. span, most: at most `most` of a kind in any `span` positions (or in the first).
Rule = tuple[list[int], int, int, bool]
_EPS = 1e-6
_FLOOR = np.float32(_EPS)


def standardise(scores: NDArray[np.float32]) -> Floats:
    """Mean 0 and standard deviation 1; all 0 where the scores are equal."""
    values = scores.astype(np.float64)
    centred = values - values.mean()
    deviation = np.sqrt(np.mean(centred * centred))
    varied = deviation > 1e-12 * abs(values.mean())
    out: Floats = (centred / deviation if varied else np.zeros_like(centred)).astype(np.float32)
    return out


def greedy(
    vectors: Floats, rewards: Floats, rules: Sequence[Rule], k: int, theta: float, window: int | None
) -> list[int]:
    """Positions picked: argmax of theta r + (1 - theta) log d2, d2 what the last `window` picks leave of each vector.

    The factor of the window's Gram matrix is made anew for each pick (Chen, Zhang, Zhou, NeurIPS 2018): in NumPy that
    costs less than sliding it.
    """
    norms = np.einsum("nd,nd->n", vectors, vectors)
    base = np.float32(theta) * rewards
    weight = np.float32(1 - theta)
    size = min(k, len(base))
    width = min(window or size, size)
    products = np.empty((width, len(base)), np.float32)
    ridge = np.float32(_EPS) * np.eye(width, dtype=np.float32)
    members = np.zeros(width, np.int64)
    left = norms
    picked: list[int] = []
    before: list[list[int]] = [[] for _ in rules]
    for turn in range(size):
        score = base + weight * np.log(np.maximum(left, _FLOOR))
        choice = int(score.argmax())
        if any(forbids(rule, history, rule[0][choice]) for rule, history in zip(rules, before, strict=True)):
            choice = _allowed(score, rules, before)
        picked.append(choice)
        for rule, history in zip(rules, before, strict=True):
            history.append(rule[0][choice])
        base[choice] = -np.inf
        products[turn % width] = vectors @ vectors[choice]
        members[turn % width] = choice
        held = min(turn + 1, width)
        rows = products[:held]
        factor = np.linalg.cholesky(rows[:, members[:held]] + ridge[:held, :held])
        white = np.linalg.inv(factor) @ rows
        left = norms - np.einsum("wn,wn->n", white, white)
    return picked


def forbids(rule: Rule, history: list[int], code: int) -> bool:
    """Whether `code` may not come after the kinds in `history`."""
    _, span, most, prefix = rule
    if code < 0 or (prefix and len(history) >= span):
        return False
    recent = history[-(span - 1) :] if span > 1 else []
    return recent.count(code) >= most


def _allowed(score: Floats, rules: Sequence[Rule], before: Sequence[list[int]]) -> int:
    """The best candidate within the rules, of which the last give way where they leave none."""
    for kept in range(len(rules), -1, -1):
        free = score.copy()
        for rule, history in zip(rules[:kept], before, strict=False):
            codes = {code for code in set(rule[0] if rule[2] == 0 else history) if forbids(rule, history, code)}
            if codes:
                free[np.isin(rule[0], list(codes))] = -np.inf
        if np.isfinite(free).any():
            return int(free.argmax())
    raise AssertionError("no candidate left")
