"""Linear layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class GroupedLinear(nn.Module):
    """G linear layers side by side: [n, G, width] -> [n, G, out]. weight: [G, width, out]; bias: [G, 1, out]."""

    def __init__(self, groups: int, width: int, out: int, bias: bool = True) -> None:
        super().__init__()
        bound = width**-0.5
        self.weight = nn.Parameter(torch.empty(groups, width, out, dtype=torch.float32).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(groups, 1, out, dtype=torch.float32)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        # One product for each group is faster with the groups first.
        grouped = x.transpose(0, 1)
        if self.bias is None:
            return torch.bmm(grouped, self.weight).transpose(0, 1)
        return torch.baddbmm(self.bias, grouped, self.weight).transpose(0, 1)


def perceptron(width: int, units: Sequence[int]) -> nn.Sequential:
    """Linear layers of `units` outputs with a ReLU after each: [n, width] -> [n, units[-1]]."""
    layers: list[nn.Module] = []
    for before, after in zip((width, *units), units, strict=False):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers)
