"""The content of items, and how close a candidate's is to what the user engaged with last."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from headrace.data.dataset import Dataset
from headrace.features.arrays import tensor_of
from headrace.features.columns import Column
from headrace.features.families.behaviours import column_of
from headrace.features.family import Asked, Family, Made, Scale, family
from headrace.features.settings import FeatureSettings
from headrace.kernels.closeness import closeness
from headrace.state import State


@family
class Content(Family):
    """vectors: float32 [items, d] of unit length, or zero. recent: the column of the items that candidates are compared
    with; None: there is none.

    closeness: the mean and the greatest similarity of each candidate to its request's recent items; zero, before it is
    scaled, where there are none.
    """

    name = "content"
    standardised = ("closeness",)
    costly = True

    def __init__(self, vectors: Tensor, recent: str | None) -> None:
        self.vectors = vectors
        self.recent = recent
        self.standardise = Scale.none(2)
        self.columns = (Column("content", "item", "dense", vectors.shape[1]),)
        if recent is not None:
            self.columns += (Column("closeness", "pair", "dense", 2),)

    @classmethod
    def fit(cls, dataset: Dataset, settings: FeatureSettings) -> Content | None:
        """Raises ValueError when a vector is not finite."""
        given = dataset.catalogue.vector
        if given is None:
            return None
        vectors = tensor_of(given)
        if not bool(vectors.isfinite().all()):
            raise ValueError("catalogue.vector: expected finite values, got NaN or infinity")
        return cls(compressed(vectors, settings.content_dim), column_of(settings.lists[0]) if settings.lists else None)

    def scale(self, scales: dict[str, Scale]) -> None:
        self.standardise = scales["closeness"]

    def item(self, item: Tensor) -> Made:
        return {"content": self.vectors.index_select(0, item)}

    def pair(self, asked: Asked, made: Made, offsets: Tensor | None, item: Tensor) -> Made:
        if self.recent is None:
            return {}
        if offsets is None:
            offsets = torch.arange(len(item) + 1)
        return {"closeness": self.standardise(closeness(self.vectors, made[self.recent] - 1, offsets, item))}

    def state(self) -> State:
        return State.of(vectors=self.vectors, recent=self.recent)

    @classmethod
    def from_state(cls, state: State) -> Content:
        return cls(state["vectors"], state["recent"])


def compressed(vectors: Tensor, dim: int) -> Tensor:
    """float32 [n, min(dim, d)]: unit vectors of the first principal components of `vectors` (float32 [n, d]).

    A zero vector, or one without any of those components, stays zero.
    """
    centred = vectors.double() - vectors.double().mean(0)
    if vectors.shape[1] > dim:
        _, axes = torch.linalg.eigh(centred.T @ centred)
        centred = centred @ axes[:, -dim:].flip(1)
    return F.normalize(centred, dim=1).float().contiguous()
