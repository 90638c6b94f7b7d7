"""Two-tower I2I: items whose vectors of the two-tower channel are near those of the user's last items."""

from __future__ import annotations

import torch

from headrace.channels import channel
from headrace.channels.shared.vector_items import VectorItems, VectorItemsSettings
from headrace.training.build import Build


@channel
class TwoTowerI2I(VectorItems):
    """Recall by the item vectors that `two_tower` trained, from the user's last items that it recalls itself."""

    name = "two_tower_i2i"

    class Settings(VectorItemsSettings):
        """Items whose vectors of the two-tower channel are near those of the user's last ones."""

    @classmethod
    def fit(cls, build: Build, settings: Settings) -> TwoTowerI2I:
        """Raises ValueError where the build has no two-tower channel, or for rows outside the tables."""
        tower = build.channels.get("two_tower")
        if tower is None:
            raise ValueError(
                "channels.two_tower_i2i: expected two_tower or a pool of it with a quota above 0, got none"
            )
        return cls.of(build, settings, tower.rows, tower.vectors, torch.ones(len(tower.rows), dtype=torch.bool))
