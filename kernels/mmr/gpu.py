"""The Triton backend of MMR: one program per list, the loop over picks inside it, float64 throughout."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from headrace.kernels.dpp.greedy_gpu import BLOCK, BLOCK_D, apply_rules, dots, pick, reserve, scratch
from headrace.kernels.dpp.picks import check_values


@triton.jit(do_not_specialize=["items", "k", "held", "rules"])  # type: ignore[untyped-decorator]
def _mmr_kernel(
    vectors: tl.tensor,
    rewards: tl.tensor,
    offsets: tl.tensor,
    settings: tl.tensor,
    kinds: tl.tensor,
    limits: tl.tensor,
    pinned: tl.tensor,
    picked: tl.tensor,
    gain: tl.tensor,
    ruled: tl.tensor,
    state: tl.tensor,
    columns: tl.tensor,
    counts: tl.tensor,
    forbidden: tl.tensor,
    items: tl.tensor,
    width: tl.tensor,
    k: tl.tensor,
    held: tl.tensor,
    rules: tl.tensor,
    WINDOWED: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    request = tl.program_id(0).to(tl.int64)
    items = items.to(tl.int64)
    first = tl.load(offsets + request)
    n = tl.load(offsets + request + 1) - first
    theta = tl.load(settings)
    weight = tl.load(settings + 1)
    vectors += first * width
    rewards += first
    kinds += first
    columns += first
    counts += first
    forbidden += first
    base = state + first
    score = base + items
    likeness = score + items
    pinned += request * k
    picked += request * k
    gain += request * k
    for start in range(0, n, BLOCK):
        at = start + tl.arange(0, BLOCK).to(tl.int64)
        reward = tl.load(rewards + at, mask=at < n, other=0.0).to(tl.float64)
        tl.store(base + at, theta * reward, mask=at < n)
        tl.store(score + at, reward, mask=at < n)
    apply_rules(kinds, limits, picked, counts, forbidden, 0, n, items, rules, BLOCK)
    steps = tl.minimum(n, k.to(tl.int64))
    reserve(pinned, base, steps)
    reserve(pinned, score, steps)
    relaxed = tl.full((), 0, tl.int64)
    overruled = tl.full((), 0, tl.int64)
    for t in range(0, steps):
        tl.debug_barrier()
        # Before the first pick the score is the reward.
        choice, broken, forbade = pick(score, forbidden, tl.load(pinned + t), n, rules, BLOCK)
        relaxed += broken
        overruled += forbade
        objective = theta * tl.load(rewards + choice).to(tl.float64)
        if t > 0:
            objective -= weight * tl.load(likeness + choice)
        tl.store(picked + t, choice)
        tl.store(gain + t, objective.to(tl.float32))
        tl.debug_barrier()
        tl.store(base + choice, float("-inf"))
        tl.debug_barrier()
        if t + 1 < steps:
            for start in range(0, n, BLOCK):
                at = start + tl.arange(0, BLOCK).to(tl.int64)
                peak = dots(vectors, n, width, choice, at, BLOCK, BLOCK_D)
                if WINDOWED:
                    tl.store(columns + (t % held) * items + at, peak, mask=at < n)
                    for age in range(1, tl.minimum(t + 1, held)):
                        slot = (t - age) % held
                        peak = tl.maximum(peak, tl.load(columns + slot * items + at, mask=at < n, other=0.0))
                else:
                    if t > 0:
                        peak = tl.maximum(peak, tl.load(columns + at, mask=at < n, other=0.0))
                    tl.store(columns + at, peak, mask=at < n)
                tl.store(likeness + at, peak, mask=at < n)
                value = tl.load(base + at, mask=at < n, other=0.0) - weight * peak
                tl.store(score + at, value, mask=at < n)
            apply_rules(kinds, limits, picked, counts, forbidden, t + 1, n, items, rules, BLOCK)
    tl.store(ruled + request * 2, relaxed)
    tl.store(ruled + request * 2 + 1, overruled)


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
    check_values(vectors, rewards, offsets, pinned)
    batch, items = offsets.shape[0] - 1, vectors.shape[0]
    picked = offsets.new_full((batch, k), -1)
    gain = torch.full((batch, k), -torch.inf, device=vectors.device)
    ruled = offsets.new_zeros((batch, 2))
    if items == 0:
        return picked, gain, ruled
    windowed = window is not None and window < k
    held = window if window is not None and windowed else 1
    rows, spans, counts, forbidden, rules = scratch(vectors, kinds, limits)
    settings = torch.tensor([theta, 1.0 - theta], dtype=torch.float64, device=vectors.device)
    _mmr_kernel[(batch,)](
        vectors.contiguous(),
        rewards.contiguous(),
        offsets.contiguous(),
        settings,
        rows,
        spans,
        picked.clone() if pinned is None else pinned.contiguous(),
        picked,
        gain,
        ruled,
        settings.new_empty((3, items)),
        settings.new_empty((held, items)),
        counts,
        forbidden,
        items,
        vectors.shape[1],
        k,
        held,
        rules,
        WINDOWED=windowed,
        BLOCK=BLOCK,
        BLOCK_D=BLOCK_D,
    )
    return picked, gain, ruled
