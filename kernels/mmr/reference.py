"""The definition of MMR in float64."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from headrace.kernels.dpp.reference import Floats, Objective, greedy


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
        def objective(history: list[int]) -> Floats:
            if not history:
                return np.array(r)
            held = history if window is None else history[-window:]
            score: Floats = theta * r - (1 - theta) * (v @ v[held].T).max(1)
            return score

        return objective

    picked, gain, ruled = greedy(vectors, rewards, offsets, k, kinds, limits, pinned, of_list)
    # The first pick goes by reward alone; its objective has no likeness to subtract.
    gain[:, 0] = (theta * gain[:, 0].double()).float().masked_fill(picked[:, 0] < 0, -np.inf)
    return picked, gain, ruled
