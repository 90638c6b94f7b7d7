"""By score alone, still within the rules."""

from __future__ import annotations

from torch import Tensor

from headrace.kernels.diversity import Picks, Rules, mmr_picks
from headrace.reranking.methods.method import method


@method("none")
def by_score(
    vectors: Tensor,
    reward: Tensor,
    offsets: Tensor,
    k: int,
    theta: float,
    window: int | None,
    rules: Rules | None,
    pinned: Tensor | None,
) -> Picks:
    alike = reward.new_zeros((len(reward), 1))
    return mmr_picks(alike, reward, offsets, k, 1.0, None, rules, pinned)
