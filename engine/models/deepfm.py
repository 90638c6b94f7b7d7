"""DeepFM: a factorisation machine and a perceptron over the same embeddings.

Source: Guo et al., "DeepFM: A Factorization-Machine based Neural Network for CTR Prediction", IJCAI 2017.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from headrace.features.columns import Columns
from headrace.models.base import Model, model
from headrace.models.blocks import Features, FieldEmbedding, fm, perceptron
from headrace.section import Section


@model
class DeepFM(Model):
    """A weight of every code and statistic, the products of all pairs of fields, and a perceptron, added up.

    The products' sum has one weight for each of its numbers and each target, at first 1 as in the paper.
    """

    name = "deepfm"

    class Settings(Section):
        """DeepFM: its vectors and its perceptron."""

        embedding_dim: int = Field(default=8, ge=1, description="width of every discrete field's embedding")
        units: tuple[int, ...] = Field(default=(64, 32), min_length=1, description="units of the perceptron")

    def __init__(self, columns: Columns, targets: int, settings: Settings) -> None:
        super().__init__(columns, targets, settings)
        dim = settings.embedding_dim
        self.features = Features(columns, dim)
        self.crossed = sum(self.features.counts.values()) > 1
        codes = [columns[name] for name in self.features.codes]
        self.first = FieldEmbedding(codes, targets) if codes else None
        self.deep = perceptron(self.features.width(), settings.units)
        rates = sum(self.features.widths.values())
        self.out = nn.Linear(self.crossed * dim + settings.units[-1] + rates, targets)
        if self.crossed:
            nn.init.ones_(self.out.weight[:, :dim])

    def forward(self, columns: dict[str, Tensor]) -> Tensor:
        read = self.features(columns)
        parts = [self.deep(read.joined())]
        if self.crossed:
            parts.insert(0, fm(read.all_fields()))
        if read.statistics:
            parts.append(read.all_statistics())
        logits = self.out(torch.cat(parts, 1))
        if self.first is None:
            return logits  # type: ignore[no-any-return]
        return logits + self.first([columns[name] for name in self.features.codes]).sum(1)  # type: ignore[no-any-return]
