"""The listwise loss of recall, and the chances of sampling that it corrects for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def listwise_loss(
    cosines: Tensor,
    positive: Tensor,
    log_p: Tensor | None = None,
    temperature: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """The definition: cross-entropy of softmax(cosines / temperature - log_p) at each row's positive. [n]

    cosines: float [n, c], users by candidates. positive: int64 [n], a column each. log_p: float [c], log of each
    candidate's chance of being sampled, in training only (Yi et al., RecSys 2019). mask: bool [n, c], candidates left
    out of a row; never its positive.
    """
    logits = cosines / temperature
    if log_p is not None:
        logits = logits - log_p
    if mask is not None:
        logits = logits.masked_fill(mask, float("-inf"))
    return -torch.log_softmax(logits, 1).gather(1, positive[:, None]).squeeze(1)


def mean_listwise_loss(
    users: Tensor, items: Tensor, positive: Tensor, log_p: Tensor, temperature: float, row: Tensor, column: Tensor
) -> Tensor:
    """The mean of `listwise_loss(users @ items.T, ...)` with the entries (row, column) masked, in half the passes.

    users: float32 [n, d]. items: float32 [c, d]. row, column: int64 [m]; a row's positive stays in, listed or not.
    """
    return _MeanListwise.apply(users, items, positive, log_p, temperature, row, column)  # type: ignore[no-any-return, no-untyped-call]


class _MeanListwise(torch.autograd.Function):
    """Takes the gradient in the forward pass, while the n x c logits are at hand, and keeps only n x d and c x d."""

    @staticmethod
    def forward(
        ctx: Any,
        users: Tensor,
        items: Tensor,
        positive: Tensor,
        log_p: Tensor,
        temperature: float,
        row: Tensor,
        column: Tensor,
    ) -> Tensor:
        every = torch.arange(len(users), device=users.device)
        logits = torch.addmm(-log_p, users, items.T, alpha=1 / temperature)
        own = logits[every, positive]
        logits[row, column] = float("-inf")
        logits[every, positive] = own
        total = torch.logsumexp(logits, 1)
        gradient = logits.sub_(total[:, None]).exp_()
        gradient[every, positive] -= 1
        scale = 1 / (temperature * len(users))
        ctx.save_for_backward((gradient @ items).mul_(scale), (gradient.T @ users).mul_(scale))
        return (total - own).mean()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        users, items = ctx.saved_tensors
        return users * upstream[0], items * upstream[0], None, None, None, None, None


def negative_probabilities(clicks: Tensor, power: float) -> Tensor:
    """float64 [N]: the chance of each item as an easy negative, proportional to clicks^power; power 0 is uniform."""
    weight = clicks.double() ** power
    return weight / weight.sum()


def log_inclusion(positive: Tensor, rows: int, negative: Tensor, negatives: int) -> Tensor:
    """float64 [N]: log of each item's chance to be a candidate of a batch.

    A batch draws `rows` positives with the chances `positive` and `negatives` easy negatives with the chances
    `negative` (float64 [N] each). For rare items this is log(rows * positive + negatives * negative), the correction of
    Yi et al.; an item that is in every batch needs none.
    """
    expected = rows * positive + negatives * negative
    return torch.log(-torch.expm1(-expected).clamp_max(-torch.finfo(torch.float64).tiny))
