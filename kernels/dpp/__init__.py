"""Greedy DPP: pick items that are good and unlike each other, many lists at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from headrace.kernels import registry
from headrace.kernels.dpp.picks import Picks, check_lists, outputs, paths
from headrace.kernels.dpp.rules import Rules

__all__ = ["Picks", "Rules", "dpp", "dpp_picks"]

OP = registry.Op("dpp", __name__, "greedy MAP of a determinantal point process", ("scalar", "avx2", "avx512"))
_SCHEMA = (
    "dpp(Tensor vectors, Tensor rewards, Tensor offsets, int k, float theta, int? window, float eps, Tensor? kinds, "
    "Tensor? limits, Tensor? pinned, str backend, int threads) -> (Tensor, Tensor, Tensor, Tensor)"
)


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
    backend: str = "auto",
    threads: int = 0,
) -> tuple[Tensor, Tensor]:
    """Picks up to k items of each list, one by one, weighing reward against likeness to what was picked before.

    Each pick maximises `theta * reward + (1 - theta) * log(max(d2, eps))`, where d2 is the squared distance of the
    item's vector from the span of the last `window` picks (None: of all picks): the factor by which the item would
    raise the determinant of their Gram matrix. Ties go to the lower position. A pick whose d2 is at most eps adds no
    direction of its own, so the items left are then taken in order of reward.

    vectors: float32 [nnz, d], about unit length. rewards: float32 [nnz]. offsets: int64 [B+1]; list b owns entries
    offsets[b]:offsets[b+1]. rules: what may not come next (see `Rules`); None: anything may.
    pinned: int64 [B, k], the item that must stand at each position of its list, -1 where the pick is free (None: all).
    A pinned item comes at its position, whatever its objective and the rules say, and nowhere else.
    Returns positions inside each list, int64 [B, k] padded with -1, and their gains (the objective when picked),
    float32 [B, k] padded with -inf.

    float64 decides. The native backend gives the same bits for every batch, thread count and instruction set.
    Raises TypeError or ValueError for wrong types, shapes or devices, NaN or infinity, theta outside [0, 1], k or
    window below 1, eps below 1e-12, an item pinned twice or a position or item beyond its list.
    Source: Chen, Zhang, Zhou, "Fast Greedy MAP Inference for Determinantal Point Process", NeurIPS 2018.
    """
    return dpp_picks(vectors, rewards, offsets, k, theta, window, rules, pinned, eps, backend, threads)[:2]


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
    backend: str = "auto",
    threads: int = 0,
) -> Picks:
    """As `dpp`, with what the rules did and the path of the log-determinant."""
    check_lists(vectors, rewards, offsets, k, theta, window, rules, pinned)
    if not 1e-12 <= eps < math.inf:
        raise ValueError(f"eps: expected a finite number of at least 1e-12, got {eps}")
    kinds, limits = (rules.kinds, rules.limits) if rules is not None else (None, None)
    picked, gain, ruled, logdet = torch.ops.headrace.dpp(
        vectors, rewards, offsets, k, theta, window, eps, kinds, limits, pinned, backend, threads
    )
    return Picks(picked, gain, ruled[:, 0], ruled[:, 1], logdet)


def _dpp(
    vectors: Tensor,
    rewards: Tensor,
    offsets: Tensor,
    k: int,
    theta: float,
    window: int | None,
    eps: float,
    kinds: Tensor | None,
    limits: Tensor | None,
    pinned: Tensor | None,
    backend: str,
    threads: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    function = OP.pick(backend, vectors.device)
    out: tuple[Tensor, Tensor, Tensor, Tensor] = function(
        vectors, rewards, offsets, k, theta, window, eps, kinds, limits, pinned, threads
    )
    return out


def _fake(
    vectors: Tensor, rewards: Tensor, offsets: Tensor, k: int, *_: object
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return *outputs(offsets, k), paths(offsets, k)


registry.register(_SCHEMA, _dpp, _fake)
