"""Content I2I: items whose content vectors are near those of the user's last items."""

from __future__ import annotations

import torch

from headrace.channels import channel
from headrace.channels.shared.publishing import recalled
from headrace.channels.shared.vector_items import VectorItems, VectorItemsSettings
from headrace.data import Dataset
from headrace.training.build import Build


@channel
class ContentI2I(VectorItems):
    """Recall by likeness of content, which items that nobody has met yet have too."""

    name = "content_i2i"

    class Settings(VectorItemsSettings):
        """Items whose content is like that of the user's last ones."""

    @classmethod
    def needs(cls, dataset: Dataset) -> str | None:
        vector = dataset.catalogue.vector
        known = vector is not None and vector.size > 0
        return None if known else "catalogue.vector: expected content vectors of the items, got none"

    @classmethod
    def fit(cls, build: Build, settings: Settings) -> ContentI2I:
        """Raises ValueError for rows outside the tables."""
        # Copies: a reader's arrays may be read-only, which torch warns of.
        vectors = torch.tensor(build.dataset.catalogue.vector, dtype=torch.float32)
        kept = torch.from_numpy(build.once(recalled))
        return cls.of(build, settings, torch.arange(len(vectors)), vectors, kept)
