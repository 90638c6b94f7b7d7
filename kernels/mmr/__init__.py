"""Maximal marginal relevance (MMR): pick items that are good and unlike each other, many lists at once."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels import registry
from headrace.kernels.dpp.picks import Picks, check_lists, outputs
from headrace.kernels.dpp.rules import Rules

__all__ = ["mmr", "mmr_picks"]

OP = registry.Op("mmr", __name__, "maximal marginal relevance", ("scalar", "avx2", "avx512"))
_SCHEMA = (
    "mmr(Tensor vectors, Tensor rewards, Tensor offsets, int k, float theta, int? window, Tensor? kinds, "
    "Tensor? limits, Tensor? pinned, str backend, int threads) -> (Tensor, Tensor, Tensor)"
)


def mmr(
    vectors: Tensor,
    rewards: Tensor,
    offsets: Tensor,
    k: int,
    theta: float = 0.5,
    window: int | None = None,
    rules: Rules | None = None,
    pinned: Tensor | None = None,
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
    window below 1, an item pinned twice or a position or item beyond its list.
    Source: Carbonell, Goldstein, "The Use of MMR, Diversity-Based Reranking", SIGIR 1998.
    """
    return mmr_picks(vectors, rewards, offsets, k, theta, window, rules, pinned, backend, threads)[:2]


def mmr_picks(
    vectors: Tensor,
    rewards: Tensor,
    offsets: Tensor,
    k: int,
    theta: float = 0.5,
    window: int | None = None,
    rules: Rules | None = None,
    pinned: Tensor | None = None,
    backend: str = "auto",
    threads: int = 0,
) -> Picks:
    """As `mmr`, and says what the rules did."""
    check_lists(vectors, rewards, offsets, k, theta, window, rules, pinned)
    kinds, limits = (rules.kinds, rules.limits) if rules is not None else (None, None)
    picked, gain, ruled = torch.ops.headrace.mmr(
        vectors, rewards, offsets, k, theta, window, kinds, limits, pinned, backend, threads
    )
    return Picks(picked, gain, ruled[:, 0], ruled[:, 1])


def _mmr(
    vectors: Tensor,
    rewards: Tensor,
    offsets: Tensor,
    k: int,
    theta: float,
    window: int | None,
    kinds: Tensor | None,
    limits: Tensor | None,
    pinned: Tensor | None,
    backend: str,
    threads: int,
) -> tuple[Tensor, Tensor, Tensor]:
    function = OP.pick(backend, vectors.device)
    out: tuple[Tensor, Tensor, Tensor] = function(
        vectors, rewards, offsets, k, theta, window, kinds, limits, pinned, threads
    )
    return out


def _fake(vectors: Tensor, rewards: Tensor, offsets: Tensor, k: int, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    return outputs(offsets, k)


registry.register(_SCHEMA, _mmr, _fake)
