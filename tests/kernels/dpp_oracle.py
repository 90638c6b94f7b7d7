"""Independent brute force for DPP and MMR, straight from the formulas, and lists to try them on."""

import numpy as np
import torch


def ragged(lengths, width, seed, spread=None):
    """Unit vectors, rewards in [0, 1] and offsets. spread: distance of an item from one of 5 centres (None: free)."""
    rng = np.random.default_rng(seed)
    n = int(sum(lengths))
    rows = rng.standard_normal((n, width))
    if spread is not None:
        rows = rng.standard_normal((5, width))[rng.integers(0, 5, n)] + spread * rows
    rows /= np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-9)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return (
        torch.from_numpy(rows.astype(np.float32)),
        torch.from_numpy(rng.random(n).astype(np.float32)),
        torch.from_numpy(offsets),
    )


def dpp_objective(a, rewards, held, theta, eps):
    """theta r_i + (1 - theta) log(det A_{W+i} / det A_W) for every item i, by determinants."""
    inside = np.linalg.slogdet(a[np.ix_(held, held)])[1] if held else 0.0
    out = np.empty(len(rewards))
    for i in range(len(rewards)):
        both = [*held, i]
        sign, value = np.linalg.slogdet(a[np.ix_(both, both)])
        out[i] = max(value - inside, np.log(eps)) if sign > 0 else np.log(eps)
    return theta * rewards + (1 - theta) * out


def mmr_objective(a, rewards, held, theta):
    return theta * rewards - (1 - theta) * (a[:, held].max(1) if held else 0.0)


def forbidden(kind, span, most, prefix, history):
    """Whether each item may not come next under one rule, item by item."""
    at = len(history)
    if prefix and at >= span:
        return np.zeros(len(kind), bool)
    recent = [kind[i] for i in history[max(0, at - span + 1) :]]
    return np.array([c >= 0 and recent.count(c) >= most for c in kind])


def judge(objective_of, picked, gain, rewards, rules=(), margin=1e-4):
    """Checks one list's picks against the objective, pick by pick; a choice may differ only within `margin`."""
    picked = [int(p) for p in picked if p >= 0]
    relaxed = overruled = 0
    for t, choice in enumerate(picked):
        history = picked[:t]
        score = objective_of(history)
        score[history] = -np.inf
        for kept in range(len(rules), -1, -1):
            mask = np.zeros(len(rewards), bool)
            for rule in rules[:kept]:
                mask |= forbidden(*rule, history)
            allowed = np.where(mask, -np.inf, score)
            if np.isfinite(allowed).any():
                break
        relaxed += kept < len(rules)
        overruled += choice != int(score.argmax())
        assert np.isfinite(allowed[choice]), (t, choice)
        assert allowed[choice] >= allowed.max() - margin, (t, choice, int(allowed.argmax()))
        assert abs(gain[t] - score[choice]) <= 1e-5 * max(1.0, abs(score[choice])) + margin / 10, (t, choice)
    return relaxed, overruled
