"""FiBiNet: bilinear products of the fields, and of the fields as weighted by their importance, under a perceptron.

Source: Huang et al., "FiBiNET: Combining Feature Importance and Bilinear feature Interaction for Click-Through Rate
Prediction", RecSys 2019.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from headrace.features.columns import Columns
from headrace.models.base import Model, model
from headrace.models.blocks import Bilinear, Excitation, Features, perceptron
from headrace.section import Section


@model
class FiBiNet(Model):
    """Fields, bilinear products of the fields and of the re-weighted fields, and statistics, side by side.

    Raises ValueError for fewer than two fields.
    """

    name = "fibinet"

    class Settings(Section):
        """FiBiNet: how fields are weighed, and its perceptron."""

        embedding_dim: int = Field(default=8, ge=1, description="width of every discrete field's embedding")
        reduction: int = Field(default=3, ge=1, description="fields for each hidden unit that weighs them")
        bilinear: Literal["all", "each", "interaction"] = Field(
            default="each", description="matrices of the products: one for all, for each field, or for each pair"
        )
        units: tuple[int, ...] = Field(default=(64, 32), min_length=1, description="units of the perceptron")

    def __init__(self, columns: Columns, targets: int, settings: Settings) -> None:
        super().__init__(columns, targets, settings)
        dim = settings.embedding_dim
        self.features = Features(columns, dim)
        fields = sum(self.features.counts.values())
        if fields < 2:
            raise ValueError(f"columns: expected at least 2 fields for products of fields, got {fields}")
        self.weigh = Excitation(fields, settings.reduction)
        self.plain = Bilinear(fields, dim, settings.bilinear)
        self.weighed = Bilinear(fields, dim, settings.bilinear)
        self.deep = perceptron(self.features.width() + fields * (fields - 1) * dim, settings.units)
        self.out = nn.Linear(settings.units[-1], targets)

    def forward(self, columns: dict[str, Tensor]) -> Tensor:
        read = self.features(columns)
        fields = read.all_fields()
        products = [self.plain(fields).flatten(1), self.weighed(self.weigh(fields)).flatten(1)]
        return self.out(self.deep(torch.cat([read.joined(), *products], 1)))  # type: ignore[no-any-return]
