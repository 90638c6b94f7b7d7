"""The network of paths: probabilities, and what it refuses."""

from __future__ import annotations

import copy

import pytest
import torch

from headrace.models.blocks.path_network import PathNetwork


def users(batch: int, dim: int) -> torch.Tensor:
    return torch.randn(batch, dim, generator=torch.Generator().manual_seed(0))


def test_probabilities_sum_to_one() -> None:
    network = PathNetwork(3, 4, 2, 2, 5)
    every = torch.cartesian_prod(torch.arange(4), torch.arange(4)).expand(2, -1, -1)
    with torch.no_grad():
        total = copy.deepcopy(network).double().log_prob(users(2, 3).double(), every).exp().sum(1)
    assert bool(((total - 1).abs() <= 1e-12).all())
    with pytest.raises(ValueError, match="paths: expected"):
        network.log_prob(users(2, 3), every[:, :, :1])
    with pytest.raises(ValueError, match="user: expected 3 columns"):
        network.log_prob(users(2, 4), every)
    with pytest.raises(ValueError, match="paths: expected nodes from 0 to 3"):
        network.log_prob(users(2, 3), torch.full((2, 2), 4))
    with pytest.raises(ValueError, match="nodes: expected at least 1"):
        PathNetwork(3, 0, 2, 2, 5)
