"""The Triton backend of MMR: one program per list, the loop over picks inside it, float64 throughout."""

from __future__ import annotations

import triton
import triton.language as tl

from headrace.kernels.diversity.greedy_gpu import apply_rules, dots, pick, reserve, store_gain


@triton.jit(do_not_specialize=["items", "k", "held", "rules"])  # type: ignore[untyped-decorator]
def mmr_kernel(
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
        store_gain(gain + t, objective)
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
