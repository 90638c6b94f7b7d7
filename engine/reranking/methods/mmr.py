"""Maximal marginal relevance: reward less the likeness to the most alike of the last picks."""

from __future__ import annotations

from torch import Tensor

from headrace.kernels.diversity import Picks, Rules, mmr_picks
from headrace.reranking.methods.method import method


@method("mmr")
def mmr(
    vectors: Tensor,
    reward: Tensor,
    offsets: Tensor,
    k: int,
    theta: float,
    window: int | None,
    rules: Rules | None,
    pinned: Tensor | None,
) -> Picks:
    return mmr_picks(vectors, reward, offsets, k, theta, window, rules, pinned)
