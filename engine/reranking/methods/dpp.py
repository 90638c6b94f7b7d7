"""The greedy of a determinantal point process: reward and the volume that the page spans."""

from __future__ import annotations

from torch import Tensor

from headrace.kernels.diversity import Picks, Rules, dpp_picks
from headrace.reranking.methods.method import method


@method("dpp")
def dpp(
    vectors: Tensor,
    reward: Tensor,
    offsets: Tensor,
    k: int,
    theta: float,
    window: int | None,
    rules: Rules | None,
    pinned: Tensor | None,
) -> Picks:
    return dpp_picks(vectors, reward, offsets, k, theta, window, rules, pinned)
