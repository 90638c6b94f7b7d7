"""Progressive layered extraction: experts that all targets share, and experts of each target's own.

Source: Tang et al., "Progressive Layered Extraction (PLE): A Novel Multi-Task Learning Model for Personalized
Recommendations", RecSys 2020.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from headrace.features.columns import Columns
from headrace.models.base import Model, model
from headrace.models.blocks import Features, GroupedLinear, mix
from headrace.section import Section


class Extraction(nn.Module):
    """One level: [n, T + 1, width] (each target's input, the shared one last) -> [n, T + 1, units], or T where `last`.

    A target's gate, a softmax over its own experts and the shared ones, mixes those; the shared gate mixes all.
    """

    def __init__(self, targets: int, width: int, units: int, own: int, shared: int, last: bool) -> None:
        super().__init__()
        self.targets, self.own, self.shared, self.last = targets, own, shared, last
        self.experts = GroupedLinear(targets, width, own * units)
        self.common = nn.Linear(width, shared * units)
        self.gates = GroupedLinear(targets, width, own + shared)
        self.gate = None if last else nn.Linear(width, targets * own + shared)

    def forward(self, x: Tensor) -> Tensor:
        each, common = x[:, : self.targets], x[:, self.targets]
        own = F.relu(self.experts(each)).flatten(1).unflatten(1, (self.targets * self.own, -1))
        shared = F.relu(self.common(common)).unflatten(1, (self.shared, -1))
        gates = torch.softmax(self.gates(each), 2)
        mixed = [
            mix(gates[:, t : t + 1, : self.own], own[:, t * self.own : (t + 1) * self.own]) for t in range(self.targets)
        ]
        out = torch.cat(mixed, 1) + mix(gates[:, :, self.own :], shared)
        if self.gate is None:
            return out
        gate = torch.softmax(self.gate(common), 1)[:, None]
        split = self.targets * self.own
        return torch.cat([out, mix(gate[:, :, :split], own) + mix(gate[:, :, split:], shared)], 1)


@model
class PLE(Model):
    """Levels of extraction over all features, then a head for each target."""

    name = "ple"

    class Settings(Section):
        """PLE: its levels of shared and own experts."""

        embedding_dim: int = Field(default=8, ge=1, description="width of every discrete field's embedding")
        levels: int = Field(default=1, ge=1, description="levels of extraction")
        own_experts: int = Field(default=1, ge=1, description="experts of each target's own, on every level")
        shared_experts: int = Field(default=2, ge=1, description="experts that all targets share, on every level")
        expert_units: int = Field(default=32, ge=1, description="units of an expert")
        head_units: int = Field(default=16, ge=1, description="hidden units of each target's head")

    def __init__(self, columns: Columns, targets: int, settings: Settings) -> None:
        super().__init__(columns, targets, settings)
        self.targets = targets
        self.features = Features(columns, settings.embedding_dim)
        units, own, shared = settings.expert_units, settings.own_experts, settings.shared_experts
        widths = [self.features.width(), *([units] * (settings.levels - 1))]
        self.levels = nn.ModuleList(
            Extraction(targets, width, units, own, shared, last=level == settings.levels - 1)
            for level, width in enumerate(widths)
        )
        self.head_in = GroupedLinear(targets, units, settings.head_units)
        self.head_out = GroupedLinear(targets, settings.head_units, 1)

    def forward(self, columns: dict[str, Tensor]) -> Tensor:
        x = self.features(columns).joined()[:, None].expand(-1, self.targets + 1, -1)
        for level in self.levels:
            x = level(x)
        return self.head_out(F.relu(self.head_in(x))).flatten(1)  # type: ignore[no-any-return]
