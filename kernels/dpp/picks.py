"""What DPP and MMR have in common: their arguments, their checks and their result."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from headrace.kernels.checks import check_at_least, check_offsets, check_tensor
from headrace.kernels.dpp.rules import Rules


class Picks(NamedTuple):
    """What was picked from each of B lists.

    picked: int64 [B, k], positions inside each list in the order they were picked, padded with -1.
    gain: float32 [B, k], the objective of each pick at the moment it was picked, padded with -inf.
    relaxed: int64 [B], picks made with at least one rule dropped, because all rules together left nothing.
    overruled: int64 [B], picks where the rules forbade the item with the best objective.
    """

    picked: Tensor
    gain: Tensor
    relaxed: Tensor
    overruled: Tensor


def check_lists(
    vectors: Tensor, rewards: Tensor, offsets: Tensor, k: int, theta: float, window: int | None, rules: Rules | None
) -> None:
    """Raises TypeError or ValueError for wrong types, shapes, devices and settings. The backends check the values."""
    check_tensor("vectors", vectors, dtype=torch.float32, ndim=2)
    check_tensor("rewards", rewards, dtype=torch.float32, ndim=1, device=vectors.device)
    check_tensor("offsets", offsets, dtype=torch.int64, ndim=1, device=vectors.device)
    if vectors.shape[1] < 1:
        raise ValueError("vectors: expected at least 1 column, got 0")
    if rewards.shape[0] != vectors.shape[0]:
        raise ValueError(f"rewards: expected {vectors.shape[0]} entries, one per vector, got {rewards.shape[0]}")
    check_at_least("k", k, 1)
    if not 0.0 <= theta <= 1.0:
        raise ValueError(f"theta: expected 0 to 1, got {theta}")
    if window is not None:
        check_at_least("window", window, 1)
    if offsets.shape[0] < 1:
        raise ValueError("offsets: expected at least 1 entry, got 0")
    if rules is not None:
        rules.check(vectors.shape[0], vectors.device)


def check_values(vectors: Tensor, rewards: Tensor, offsets: Tensor) -> None:
    """What the native backend checks as it reads: offsets that fit, finite vectors and rewards."""
    check_offsets("offsets", offsets, vectors.shape[0])
    if bool(torch.isfinite(vectors).all() & torch.isfinite(rewards).all()):
        return
    for name, tensor in (("vectors", vectors), ("rewards", rewards[:, None])):
        bad = (~torch.isfinite(tensor)).any(1).nonzero()
        if bad.numel():
            request = int(torch.searchsorted(offsets, bad[0, 0], right=True)) - 1
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity in list {request}")


def outputs(offsets: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Unfilled picked int64 [B, k], gain float32 [B, k] and ruled int64 [B, 2] (relaxed, overruled)."""
    batch = offsets.shape[0] - 1
    return (
        offsets.new_empty((batch, k)),
        offsets.new_empty((batch, k), dtype=torch.float32),
        offsets.new_empty((batch, 2)),
    )
