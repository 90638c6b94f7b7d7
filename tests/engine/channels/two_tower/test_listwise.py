"""The listwise loss against the worked figures, a loop in float64 and autograd's gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from headrace.channels.two_tower.listwise import (
    listwise_loss,
    log_inclusion,
    mean_listwise_loss,
    negative_probabilities,
)

COSINES = torch.tensor([[0.9, 0.1, 0.3], [0.2, 0.8, 0.4], [0.0, 0.5, 0.7]], dtype=torch.float64)


def test_the_worked_example_without_a_correction() -> None:
    losses = listwise_loss(COSINES, torch.arange(3))
    assert losses.tolist() == pytest.approx([0.692217, 0.797116, 0.839546], abs=5e-7)
    assert float(losses.mean()) == pytest.approx(0.776293, abs=5e-7)


def test_the_worked_example_with_the_correction() -> None:
    log_p = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64).log()
    losses = listwise_loss(COSINES, torch.arange(3), log_p)
    assert losses.tolist() == pytest.approx([1.647028, 1.189478, 0.304299], abs=5e-7)
    assert float(losses.mean()) == pytest.approx(1.046935, abs=5e-7)
    # Any multiple of p gives the same loss.
    assert torch.allclose(listwise_loss(COSINES, torch.arange(3), log_p + 3.7), losses)


def brute(cosines: Tensor, positive: Tensor, log_p: Tensor, temperature: float, mask: Tensor) -> list[float]:
    out = []
    for i, p in enumerate(positive.tolist()):
        terms = [
            math.exp(float(cosines[i, j]) / temperature - float(log_p[j]))
            for j in range(cosines.shape[1])
            if not mask[i, j]
        ]
        out.append(math.log(sum(terms)) - float(cosines[i, p]) / temperature + float(log_p[p]))
    return out


@pytest.mark.parametrize(("n", "c"), [(1, 1), (1, 7), (7, 3), (16, 33), (65, 97)])
def test_the_fused_mean_and_its_gradients_are_those_of_the_definition(n: int, c: int) -> None:
    generator = torch.Generator().manual_seed(n * 100 + c)
    users = torch.nn.functional.normalize(torch.randn(n, 5, generator=generator, dtype=torch.float64), dim=1)
    items = torch.nn.functional.normalize(torch.randn(c, 5, generator=generator, dtype=torch.float64), dim=1)
    users.requires_grad_()
    items.requires_grad_()
    positive = torch.randint(c, (n,), generator=generator)
    log_p = torch.rand(c, generator=generator, dtype=torch.float64).log()
    row, column = torch.randint(n, (3 * n,), generator=generator), torch.randint(c, (3 * n,), generator=generator)
    mask = torch.zeros(n, c, dtype=torch.bool)
    mask[row, column] = True
    mask[torch.arange(n), positive] = False

    plain = listwise_loss(users @ items.T, positive, log_p, 0.2, mask)
    assert plain.tolist() == pytest.approx(
        brute((users @ items.T).detach(), positive, log_p, 0.2, mask), rel=1e-9, abs=1e-12
    )
    expected = torch.autograd.grad(plain.mean() * 3, (users, items))
    fused = mean_listwise_loss(users, items, positive, log_p, 0.2, row, column)
    assert fused.item() == pytest.approx(plain.mean().item(), rel=1e-12, abs=1e-12)
    for got, want in zip(torch.autograd.grad(fused * 3, (users, items)), expected, strict=True):
        assert torch.allclose(got, want, rtol=1e-9, atol=1e-12)


def test_negative_probabilities_follow_the_worked_example() -> None:
    clicks = torch.tensor([1000, 100, 10, 1])
    got = negative_probabilities(clicks, 0.75)
    assert got.tolist() == pytest.approx([0.822995, 0.146352, 0.026025, 0.004628], abs=5e-7)
    assert negative_probabilities(clicks, 1.0).tolist() == pytest.approx([0.90009, 0.090009, 0.0090009, 0.00090009])
    assert negative_probabilities(torch.tensor([5, 0, 0, 1]), 0.0).tolist() == [0.25] * 4


def test_inclusion_is_the_share_of_batches_that_hold_the_item() -> None:
    positive = torch.tensor([0.7, 0.2, 0.09, 0.01, 0.0], dtype=torch.float64)
    negative = torch.full((5,), 0.2, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    batches = 20_000
    drawn = torch.multinomial(positive, batches * 3, replacement=True, generator=generator).view(batches, 3)
    easy = torch.multinomial(negative, batches * 2, replacement=True, generator=generator).view(batches, 2)
    both = torch.cat([drawn, easy], 1)
    share = torch.stack([(both == i).any(1).double().mean() for i in range(5)])
    # Counts of a batch are taken as Poisson: exact as batches grow, within a few percent for one of five draws.
    assert torch.allclose(log_inclusion(positive, 3, negative, 2).exp(), share, atol=0.07)
    rare = torch.tensor([1e-7, 1 - 1e-7], dtype=torch.float64)
    assert float(log_inclusion(rare, 100, rare, 50)[0]) == pytest.approx(math.log(150e-7), rel=1e-5)
    assert float(log_inclusion(rare, 100, rare, 50)[1]) == pytest.approx(0.0, abs=1e-12)


def test_inclusion_of_an_item_never_drawn_is_finite() -> None:
    never = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert bool(log_inclusion(never, 10, never, 10).isfinite().all())
