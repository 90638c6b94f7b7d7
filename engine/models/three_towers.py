"""Three towers for pre-ranking: one for the request, one for the item, one for what crosses them, a network over the
three.

Source: Wang et al., "COLD: Towards the Next Generation of Pre-Ranking System", DLP-KDD 2020.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from headrace.features.columns import Columns
from headrace.models.base import Model, model
from headrace.models.blocks import CONTENT, Features
from headrace.section import Section


@model
class ThreeTowers(Model):
    """The request tower runs once for each request, the item tower once for each item of a snapshot; the cross tower
    (statistics of items, and all that is of a pair) and the upper network run for each candidate and are kept small.

    A linear path leads from the statistics to the logits. Raises ValueError when a tower has nothing to read.
    """

    name = "three_towers"

    class Settings(Section):
        """Three towers: their vectors, and the network over them."""

        embedding_dim: int = Field(default=8, ge=1, description="width of every discrete field's embedding")
        tower_units: int = Field(default=64, ge=1, description="hidden units of the request's and the item's towers")
        vector_dim: int = Field(default=16, ge=1, description="width of each tower's vector")
        upper_units: int = Field(default=32, ge=1, description="units of the network over the three vectors")

    def __init__(self, columns: Columns, targets: int, settings: Settings) -> None:
        super().__init__(columns, targets, settings)
        units, width = settings.tower_units, settings.vector_dim
        self.features = Features(columns, settings.embedding_dim, project=False)
        self.crosses = [side for side in ("item", "pair") if self.features.widths[side]]
        statistics = self.features.widths["item"] + self.features.widths["pair"]
        inputs = {
            "request": self.features.width("request"),
            "item": self.features.counts["item"] * settings.embedding_dim + self.features.content_width,
            "cross": self.features.counts["pair"] * settings.embedding_dim + statistics,
        }
        for tower, size in inputs.items():
            if not size:
                raise ValueError(f"columns: expected at least 1 for the {tower} tower, got none")
        self.request = nn.Sequential(nn.Linear(inputs["request"], units), nn.ReLU(), nn.Linear(units, width))
        self.item = nn.Sequential(nn.Linear(inputs["item"], units), nn.ReLU(), nn.Linear(units, width))
        self.cross = nn.Sequential(nn.Linear(inputs["cross"], width), nn.ReLU())
        self.upper = nn.Linear(4 * width, settings.upper_units)
        self.last = nn.Linear(settings.upper_units, targets)
        rates = statistics + self.features.widths["request"]
        self.wide = nn.Linear(rates, targets) if rates else None
        if self.wide is not None:
            # What starts the logits is the prior.
            nn.init.zeros_(self.wide.bias)

    def forward(self, columns: dict[str, Tensor]) -> Tensor:
        read = self.features(columns)
        crossed = [read.statistics[side] for side in self.crosses]
        if "pair" in read.fields:
            crossed.insert(0, read.fields["pair"].flatten(1))
        request = self.request(read.joined("request"))
        about = [read.fields["item"].flatten(1)] if "item" in read.fields else []
        if self.features.content_width:
            about.append(columns[CONTENT])
        item = self.item(torch.cat(about, 1))
        cross = self.cross(torch.cat(crossed, 1))
        logits = self.last(F.relu(self.upper(torch.cat([request, item, cross, item * request], 1))))
        return logits if self.wide is None else self.wide(read.all_statistics()) + logits  # type: ignore[no-any-return]
