"""Deep and cross network: layers that multiply what they read with the input itself, beside plain layers.

Source: Wang et al., "DCN V2: Improved Deep & Cross Network", WWW 2021.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from headrace.features.columns import Columns
from headrace.models.base import Model, model
from headrace.models.blocks import Cross, Features, perceptron
from headrace.section import Section


@model
class DCNV2(Model):
    """x[i + 1] = x[0] * (W x[i] + b) + x[i] from all features, beside a perceptron (the paper's parallel structure)."""

    name = "dcn_v2"

    class Settings(Section):
        """DCN v2: its cross layers and its perceptron."""

        embedding_dim: int = Field(default=8, ge=1, description="width of every discrete field's embedding")
        layers: int = Field(default=2, ge=1, description="cross layers")
        rank: int = Field(default=0, ge=0, description="rank of a cross layer's matrix; 0: full")
        experts: int = Field(default=4, ge=1, description="low-rank matrices that a cross layer mixes, with a rank")
        units: tuple[int, ...] = Field(default=(64, 32), min_length=1, description="units of the plain layers")

    def __init__(self, columns: Columns, targets: int, settings: Settings) -> None:
        super().__init__(columns, targets, settings)
        self.features = Features(columns, settings.embedding_dim)
        width = self.features.width()
        self.crosses = nn.ModuleList(Cross(width, settings.rank, settings.experts) for _ in range(settings.layers))
        self.deep = perceptron(width, settings.units)
        self.out = nn.Linear(width + settings.units[-1], targets)

    def forward(self, columns: dict[str, Tensor]) -> Tensor:
        start = self.features(columns).joined()
        x = start
        for cross in self.crosses:
            x = cross(start, x)
        return self.out(torch.cat([x, self.deep(start)], 1))  # type: ignore[no-any-return]
