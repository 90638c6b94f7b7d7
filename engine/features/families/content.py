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
    """vectors: float32 [items, d] of unit length, or zero. mean, axes: float64 [w] and [w, d], what made them of those
    of the catalogue; w is 0 where that was not kept. recent: the column of the items that candidates are compared with;
    None: there is none.

    closeness: the mean and the greatest similarity of each candidate to its request's recent items; zero, before it is
    scaled, where there are none.
    """

    name = "content"
    standardised = ("closeness",)
    costly = True

    def __init__(self, vectors: Tensor, mean: Tensor, axes: Tensor, recent: str | None) -> None:
        self.vectors = vectors
        self.mean = mean
        self.axes = axes
        self.recent = recent
        self.standardise = Scale.none(2)
        self.columns = (Column("content", "item", "dense", vectors.shape[1]),)
        if recent is not None:
            self.columns += (Column("closeness", "pair", "dense", 2),)

    @classmethod
    def fit(cls, dataset: Dataset, settings: FeatureSettings, earlier: Family | None = None) -> Content | None:
        """Vectors as they were made for `earlier`. Raises ValueError when one is not finite, or of another width, and
        when `earlier` did not keep how."""
        given = dataset.catalogue.vector
        if given is None:
            return None
        vectors = tensor_of(given).double()
        if not bool(vectors.isfinite().all()):
            raise ValueError("catalogue.vector: expected finite values, got NaN or infinity")
        if isinstance(earlier, Content):
            mean, axes = earlier.mean, earlier.axes
            if len(mean) == 0:
                raise ValueError(
                    "earlier: expected what made its content vectors, got none; start from another snapshot"
                )
            if len(mean) != vectors.shape[1]:
                raise ValueError(f"catalogue.vector: expected {len(mean)} columns, as before, got {vectors.shape[1]}")
        else:
            mean, axes = principal(vectors, settings.content_dim)
        made = F.normalize((vectors - mean) @ axes, dim=1).float()
        return cls(made, mean, axes, column_of(settings.lists[0]) if settings.lists else None)

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
        return State.of(vectors=self.vectors, mean=self.mean, axes=self.axes, recent=self.recent)

    @classmethod
    def from_state(cls, state: State) -> Content:
        vectors = state.tensor("vectors", torch.float32, "items", None)
        mean = state.tensor("mean", torch.float64, None)
        axes = state.tensor("axes", torch.float64, len(mean), vectors.shape[1])
        return cls(vectors, mean, axes, state.fact("recent", str | None))


def principal(vectors: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The mean (float64 [w]) of `vectors` (float64 [n, w]), and their first principal components, at most `dim`:
    float64 [w, min(dim, w)]. Vectors that are no wider keep their own axes."""
    mean, width = vectors.mean(0), vectors.shape[1]
    if width <= dim:
        return mean, torch.eye(width, dtype=torch.float64)
    centred = vectors - mean
    _, axes = torch.linalg.eigh(centred.T @ centred)
    return mean, axes[:, -dim:].flip(1).contiguous()
