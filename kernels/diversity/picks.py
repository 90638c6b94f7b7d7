"""What DPP and MMR have in common: their arguments, their checks and their result."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from headrace.kernels.checks import check_count, check_k, check_number, check_offsets, check_tensor
from headrace.kernels.diversity.rules import Rules


class Picks(NamedTuple):
    """What was picked from each of B lists.

    picked: int64 [B, k], positions inside each list in the order they were picked, padded with -1.
    gain: float32 [B, k], the objective of each pick at the moment it was picked, at most float32's largest number in
        size, padded with -inf.
    relaxed: int64 [B], picks made with at least one rule dropped, because all rules together left nothing or
        a pinned item breaks one.
    overruled: int64 [B], free picks where the rules forbade the item with the best objective.
    logdet: float32 [B, k], of DPP only: the sum of log(max(d2, eps)) over the picks so far, padded with -inf. Without a
        window it is the log-determinant of the picks' Gram matrix, each of its pivots at least eps.
    """

    picked: Tensor
    gain: Tensor
    relaxed: Tensor
    overruled: Tensor
    logdet: Tensor | None = None


def check_lists(
    vectors: Tensor,
    rewards: Tensor,
    offsets: Tensor,
    k: int,
    theta: float,
    window: int | None,
    rules: Rules | None,
    pinned: Tensor | None,
) -> None:
    """Raises TypeError or ValueError for wrong types, shapes, devices and settings. The backends check the values."""
    check_tensor("vectors", vectors, dtype=torch.float32, ndim=2)
    check_tensor("rewards", rewards, dtype=torch.float32, ndim=1, device=vectors.device)
    check_tensor("offsets", offsets, dtype=torch.int64, ndim=1, device=vectors.device)
    if vectors.shape[1] < 1:
        raise ValueError("vectors: expected at least 1 column, got 0")
    if rewards.shape[0] != vectors.shape[0]:
        raise ValueError(f"rewards: expected {vectors.shape[0]} entries, one per vector, got {rewards.shape[0]}")
    check_k("k", k, vectors.shape[0])
    check_number("theta", theta)
    if not 0.0 <= theta <= 1.0:
        raise ValueError(f"theta: expected 0 to 1, got {theta}")
    if window is not None:
        check_count("window", window)
    if offsets.shape[0] < 1:
        raise ValueError("offsets: expected at least 1 entry, got 0")
    if rules is not None:
        rules.check(vectors.shape[0], vectors.device)
    if pinned is not None:
        check_tensor("pinned", pinned, dtype=torch.int64, ndim=2, device=vectors.device)
        if pinned.shape != (offsets.shape[0] - 1, k):
            raise ValueError(f"pinned: expected shape {(offsets.shape[0] - 1, k)}, got {tuple(pinned.shape)}")


def check_values(vectors: Tensor, rewards: Tensor, offsets: Tensor, pinned: Tensor | None) -> None:
    """What the native backend checks as it reads: offsets that fit, finite vectors and rewards, pins that agree."""
    check_offsets("offsets", offsets, vectors.shape[0])
    if pinned is not None:
        _check_pins(pinned, offsets)
    # One question for both: on a GPU each waits for the device.
    if bool(torch.isfinite(vectors).all() & torch.isfinite(rewards).all()):
        return
    for name, tensor in (("vectors", vectors), ("rewards", rewards[:, None])):
        bad = (~torch.isfinite(tensor)).any(1).nonzero()
        if bad.numel():
            request = int(torch.searchsorted(offsets, bad[0, 0], right=True)) - 1
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity in list {request}")


def _check_pins(pinned: Tensor, offsets: Tensor) -> None:
    counts = offsets.diff()[:, None]
    wrong = ((pinned < -1) | (pinned >= counts)).nonzero()
    if wrong.numel():
        request, slot = wrong[0].tolist()
        raise ValueError(
            f"pinned: expected -1 or an item below {int(counts[request])} in list {request}, "
            f"got {int(pinned[request, slot])} at position {slot}"
        )
    slots = torch.arange(pinned.shape[1], device=pinned.device)
    late = ((pinned >= 0) & (slots >= counts)).nonzero()
    if late.numel():
        request, slot = late[0].tolist()
        raise ValueError(
            f"pinned: expected positions below {int(counts[request])}, the length of list {request}, got {slot}"
        )
    ordered = pinned.sort(1).values
    twice = ((ordered[:, 1:] >= 0) & (ordered[:, 1:] == ordered[:, :-1])).nonzero()
    if twice.numel():
        request, place = twice[0].tolist()
        raise ValueError(
            f"pinned: expected an item once at most in list {request}, got item {int(ordered[request, place])} twice"
        )


def outputs(offsets: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Unfilled picked int64 [B, k], gain float32 [B, k] and ruled int64 [B, 2] (relaxed, overruled)."""
    batch = max(offsets.shape[0] - 1, 0)
    return (
        offsets.new_empty((batch, k)),
        offsets.new_empty((batch, k), dtype=torch.float32),
        offsets.new_empty((batch, 2)),
    )


def paths(offsets: Tensor, k: int) -> Tensor:
    """Unfilled logdet float32 [B, k]."""
    return offsets.new_empty((max(offsets.shape[0] - 1, 0), k), dtype=torch.float32)
