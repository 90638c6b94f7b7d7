"""Greedy DPP and maximal marginal relevance (MMR): pick what is good and unlike the rest, many lists at once."""

from __future__ import annotations

import math

from torch import Tensor

from headrace.kernels.checks import check_number
from headrace.kernels.diversity.picks import Picks, check_lists, outputs, paths
from headrace.kernels.diversity.rules import Rules
from headrace.kernels.edge import FLOATS, IDS, takes
from headrace.kernels.registry import Op

__all__ = ["Picks", "Rules", "dpp", "dpp_picks", "mmr", "mmr_picks"]

_ISAS = ("scalar", "avx2", "avx512")
DPP = Op("dpp", __name__, "greedy MAP of a determinantal point process", _ISAS)
MMR = Op("mmr", __name__, "maximal marginal relevance", _ISAS)


@takes(vectors=FLOATS, rewards=FLOATS, offsets=IDS, pinned=IDS)
def dpp(
    vectors: Tensor,
    rewards: Tensor,
    offsets: Tensor,
    k: int,
    theta: float = 0.5,
    window: int | None = None,
    rules: Rules | None = None,
    pinned: Tensor | None = None,
    eps: float = 1e-6,
    *,
    backend: str = "auto",
    threads: int = 0,
) -> tuple[Tensor, Tensor]:
    """Picks up to k items of each list, one by one, weighing reward against likeness to what was picked before.

    Each pick maximises `theta * reward + (1 - theta) * log(max(d2, eps))`, where d2 is the squared distance of the
    item's vector from the span of the last `window` picks (None: of all picks): the factor by which the item would
    raise the determinant of their Gram matrix; below 2^-40 of the vector's square, where rounding hides it, it is 0.
    Ties go to the lower position. A pick whose d2 is at most eps adds no direction of its own, so the items left are
    then taken in order of reward.

    vectors: float32 [nnz, d], about unit length. rewards: float32 [nnz]. offsets: int64 [B+1]; list b owns entries
    offsets[b]:offsets[b+1]. rules: what may not come next (see `Rules`); None: anything may.
    pinned: int64 [B, k], the item that must stand at each position of its list, -1 where the pick is free (None: all).
    A pinned item comes at its position, whatever its objective and the rules say, and nowhere else.
    Returns positions inside each list, int64 [B, k] padded with -1, and their gains (the objective when picked),
    float32 [B, k] padded with -inf.

    float64 decides. The native backend gives the same bits for every batch, thread count and instruction set.
    Raises TypeError or ValueError for wrong types, shapes or devices, NaN or infinity, theta outside [0, 1], k or
    window below 1, k beyond both 65,536 and nnz, eps below 1e-12, an item pinned twice or a position or item beyond its
    list.
    Source: Chen, Zhang, Zhou, "Fast Greedy MAP Inference for Determinantal Point Process", NeurIPS 2018.
    """
    picks = dpp_picks(vectors, rewards, offsets, k, theta, window, rules, pinned, eps, backend=backend, threads=threads)
    return picks[:2]


@takes(vectors=FLOATS, rewards=FLOATS, offsets=IDS, pinned=IDS)
def dpp_picks(
    vectors: Tensor,
    rewards: Tensor,
    offsets: Tensor,
    k: int,
    theta: float = 0.5,
    window: int | None = None,
    rules: Rules | None = None,
    pinned: Tensor | None = None,
    eps: float = 1e-6,
    *,
    backend: str = "auto",
    threads: int = 0,
) -> Picks:
    """As `dpp`, with what the rules did and the path of the log-determinant."""
    check_lists(vectors, rewards, offsets, k, theta, window, rules, pinned)
    check_number("eps", eps)
    if not 1e-12 <= eps < math.inf:
        raise ValueError(f"eps: expected a finite number of at least 1e-12, got {eps}")
    kinds, limits = (rules.kinds, rules.limits) if rules is not None else (None, None)
    inputs = vectors, rewards, offsets, k, theta, window, eps, kinds, limits, pinned
    picked, gain, ruled, logdet = DPP(*inputs, backend=backend, threads=threads)
    return Picks(picked, gain, ruled[:, 0], ruled[:, 1], logdet)


@takes(vectors=FLOATS, rewards=FLOATS, offsets=IDS, pinned=IDS)
def mmr(
    vectors: Tensor,
    rewards: Tensor,
    offsets: Tensor,
    k: int,
    theta: float = 0.5,
    window: int | None = None,
    rules: Rules | None = None,
    pinned: Tensor | None = None,
    *,
    backend: str = "auto",
    threads: int = 0,
) -> tuple[Tensor, Tensor]:
    """Picks up to k items of each list, one by one, weighing reward against likeness to what was picked before.

    The first pick is the item of the highest reward. Each later pick maximises
    `theta * reward - (1 - theta) * max(<item, picked>)` over the last `window` picks (None: over all picks). Ties go to
    the lower position.

    vectors: float32 [nnz, d]; their inner product is the similarity, so normalise them for cosine. rewards: float32
    [nnz]. offsets: int64 [B+1]; list b owns entries offsets[b]:offsets[b+1]. rules: what may not come next (see
    `Rules`); None: anything may.
    pinned: int64 [B, k], the item that must stand at each position of its list, -1 where the pick is free (None: all).
    A pinned item comes at its position, whatever its objective and the rules say, and nowhere else.
    Returns positions inside each list, int64 [B, k] padded with -1, and their gains (the objective when picked),
    float32 [B, k] padded with -inf.

    float64 decides. The native backend gives the same bits for every batch, thread count and instruction set.
    Raises TypeError or ValueError for wrong types, shapes or devices, NaN or infinity, theta outside [0, 1], k or
    window below 1, k beyond both 65,536 and nnz, an item pinned twice or a position or item beyond its list.
    Source: Carbonell, Goldstein, "The Use of MMR, Diversity-Based Reranking", SIGIR 1998.
    """
    picks = mmr_picks(vectors, rewards, offsets, k, theta, window, rules, pinned, backend=backend, threads=threads)
    return picks[:2]


@takes(vectors=FLOATS, rewards=FLOATS, offsets=IDS, pinned=IDS)
def mmr_picks(
    vectors: Tensor,
    rewards: Tensor,
    offsets: Tensor,
    k: int,
    theta: float = 0.5,
    window: int | None = None,
    rules: Rules | None = None,
    pinned: Tensor | None = None,
    *,
    backend: str = "auto",
    threads: int = 0,
) -> Picks:
    """As `mmr`, and says what the rules did."""
    check_lists(vectors, rewards, offsets, k, theta, window, rules, pinned)
    kinds, limits = (rules.kinds, rules.limits) if rules is not None else (None, None)
    inputs = vectors, rewards, offsets, k, theta, window, kinds, limits, pinned
    picked, gain, ruled = MMR(*inputs, backend=backend, threads=threads)
    return Picks(picked, gain, ruled[:, 0], ruled[:, 1])


def _fake_dpp(
    vectors: Tensor, rewards: Tensor, offsets: Tensor, k: int, *_: object
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return *outputs(offsets, k), paths(offsets, k)


def _fake_mmr(vectors: Tensor, rewards: Tensor, offsets: Tensor, k: int, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    return outputs(offsets, k)


_LISTS = "Tensor vectors, Tensor rewards, Tensor offsets, int k, float theta, int? window"
_LAYOUT = (
    "vectors float32 n d, rewards float32 n, offsets int64 B+1, kinds int32 R n, limits cpu:int64 R 3, pinned int64 B k"
)
_RULES = "Tensor? kinds, Tensor? limits, Tensor? pinned"
DPP.register(f"({_LISTS}, float eps, {_RULES}) -> (Tensor, Tensor, Tensor, Tensor)", _LAYOUT, _fake_dpp)
MMR.register(f"({_LISTS}, {_RULES}) -> (Tensor, Tensor, Tensor)", _LAYOUT, _fake_mmr)
