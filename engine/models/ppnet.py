"""PPNet: layers over the item, whose hidden units the request scales by gates of its own.

Source: Swietojanski, Li and Renals, "Learning Hidden Unit Contributions for Unsupervised Acoustic Model Adaptation",
IEEE/ACM TASLP 2016; known in recommenders as the parameter personalised network.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from headrace.features.columns import Columns
from headrace.models.base import Model, model
from headrace.models.blocks import Features, perceptron
from headrace.section import Section


@model
class PPNet(Model):
    """h = relu(W h) * 2 sigmoid(gate of the request), layer by layer, over what is of the item and of the pair.

    Raises ValueError when the request, or item and pair, have nothing to read.
    """

    name = "ppnet"

    class Settings(Section):
        """PPNet: its layers and what scales them."""

        embedding_dim: int = Field(default=8, ge=1, description="width of every discrete field's embedding")
        units: tuple[int, ...] = Field(default=(64, 32), min_length=1, description="units of the layers")
        gate_units: int = Field(default=32, ge=1, description="hidden units of each layer's gates")

    def __init__(self, columns: Columns, targets: int, settings: Settings) -> None:
        super().__init__(columns, targets, settings)
        self.features = Features(columns, settings.embedding_dim)
        request, item = self.features.width("request"), self.features.width("item", "pair")
        for side, width in (("request", request), ("item or pair", item)):
            if not width:
                raise ValueError(f"columns: expected at least 1 of side {side}, got none")
        units = settings.units
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip((item, *units), units, strict=False))
        self.gates = nn.ModuleList(
            nn.Sequential(perceptron(request, [settings.gate_units]), nn.Linear(settings.gate_units, width))
            for width in units
        )
        self.out = nn.Linear(units[-1], targets)

    def forward(self, columns: dict[str, Tensor]) -> Tensor:
        read = self.features(columns)
        request, x = read.joined("request"), read.joined("item", "pair")
        for layer, gate in zip(self.layers, self.gates, strict=True):
            x = F.relu(layer(x)) * (2 * gate(request).sigmoid())
        return self.out(x)  # type: ignore[no-any-return]
