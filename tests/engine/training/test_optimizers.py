"""Adam by rows is the sparse Adam of torch; weights decay where they should."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from headrace.training.optimizers import Optimizers, RowAdam
from headrace.training.settings import TrainSettings


def table(rows: int = 11) -> nn.Embedding:
    torch.manual_seed(1)
    return nn.Embedding(rows, 4, sparse=True)


def steps(embedding: nn.Embedding, optimizer: torch.optim.Optimizer, count: int = 5) -> torch.Tensor:
    for step in range(count):
        optimizer.zero_grad()
        # rows that come twice, in two look-ups, and rows that never come
        rows = (torch.arange(6) * (step + 1)) % 7
        (embedding(rows).square().sum() + 3 * embedding(rows[:2]).sum()).backward()
        optimizer.step()
    return embedding.weight.detach()


def test_it_equals_the_sparse_adam_of_torch() -> None:
    ours, theirs = table(), table()
    got = steps(ours, RowAdam([ours.weight], 0.1))
    expected = steps(theirs, torch.optim.SparseAdam([theirs.weight], 0.1))
    assert torch.allclose(got, expected, atol=1e-6)
    assert torch.equal(got[7:], table().weight[7:])


def test_a_saved_state_goes_on_as_if_never_saved() -> None:
    whole, first, second = table(), table(), table()
    expected = steps(whole, RowAdam([whole.weight], 0.1), 5)
    before = RowAdam([first.weight], 0.1)
    steps(first, before, 2)
    after = RowAdam([second.weight], 0.1)
    after.load_state_dict(before.state_dict())
    second.load_state_dict(first.state_dict())
    for step in (2, 3, 4):
        after.zero_grad()
        rows = (torch.arange(6) * (step + 1)) % 7
        (second(rows).square().sum() + 3 * second(rows[:2]).sum()).backward()
        after.step()
    assert torch.equal(second.weight, expected)


@pytest.mark.parametrize("sparse", [True, False])
def test_weights_decay_and_vectors_do_not(sparse: bool) -> None:
    torch.manual_seed(1)
    model = nn.ModuleDict({"table": nn.Embedding(5, 3, sparse=sparse), "out": nn.Linear(3, 2)})
    rates = {"learning_rate": 0.1, "embedding_learning_rate": 0.2, "weight_decay": 0.5, "embedding_decay": 0.25}
    optimizers = Optimizers(model, TrainSettings(**rates))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    # no gradient: what moves is the decay alone
    (model["out"](model["table"](torch.tensor([1, 1, 3]))).sum() * 0).backward()
    optimizers.step()
    after = dict(model.named_parameters())
    assert torch.allclose(after["out.weight"], before["out.weight"] * (1 - 0.1 * 0.5))
    assert torch.equal(after["out.bias"], before["out.bias"])
    read = torch.tensor([1, 3])
    assert torch.allclose(after["table.weight"][read], before["table.weight"][read] * (1 - 0.2 * 0.25))
    assert torch.equal(after["table.weight"][0], before["table.weight"][0]) == sparse
