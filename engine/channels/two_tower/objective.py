"""What the two towers learn: listwise, clicks against the items of the batch and easy negatives of the catalogue."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from headrace.channels.shared.positives import Positives
from headrace.channels.shared.vector_index import VectorSettings
from headrace.channels.two_tower.features import item_content, item_features, user_features
from headrace.channels.two_tower.listwise import log_inclusion, mean_listwise_loss, negative_probabilities
from headrace.channels.two_tower.model import TwoTowerModel
from headrace.features import FeatureStore
from headrace.jagged import gather_rows, segment_of
from headrace.training.settings import TrainSettings


class TwoTowerSettings(TrainSettings, VectorSettings):
    """The two-tower channel: its network, its training and its index."""

    quota: int = Field(default=1000, ge=0, description="items it may bring a request; 0: it is not built")
    epochs: int = Field(default=1, ge=1, description="passes over the positives")
    batch_size: int = Field(default=1024, ge=1, description="positives a step")
    embedding_learning_rate: float = Field(default=5e-3, gt=0, description="of embeddings")
    dim: int = Field(default=64, ge=1, description="width of the vectors")
    hidden: int = Field(default=128, ge=1, description="width of each tower's hidden layer")
    last_n: int = Field(default=30, ge=1, description="a user's last positives that its tower pools")
    temperature: float = Field(default=0.1, gt=0, description="divides the cosines in training")
    negatives: int = Field(default=1024, ge=0, description="easy negatives that a batch shares")
    negative_power: float = Field(
        default=0.0, ge=0, le=1, description="their chance is clicks to this power; 0 is uniform over the catalogue"
    )
    correction: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="share of the sampling bias that is taken out, from 0 (popular items are pushed down) to 1 "
        "(scores keep the popularity of the log)",
    )
    min_positives: int = Field(default=0, ge=0, description="items with fewer positives in training are not recalled")


class Objective:
    """The loss of a batch of positives, and all that it reads."""

    def __init__(self, store: FeatureStore, positives: Positives, settings: TwoTowerSettings) -> None:
        self.settings = settings
        self.positives = positives
        self.user_features = user_features(store)
        self.item_features = item_features(store)
        self.content = item_content(store)
        items = store.items
        self.clicks = torch.bincount(self.positives.item, minlength=items)
        negative = negative_probabilities(self.clicks, settings.negative_power)
        self.cumulative = negative.cumsum(0)
        positive = negative_probabilities(self.clicks, 1.0)
        bias = log_inclusion(positive, settings.batch_size, negative, settings.negatives)
        self.log_p = (settings.correction * bias).float()
        self.column = torch.full((items,), -1)
        self.model = TwoTowerModel(
            store.columns["user"].size - 1,
            items,
            self.user_features.size,
            self.item_features.size,
            0 if self.content is None else self.content.shape[1],
            settings.dim,
            settings.hidden,
        )

    def __call__(self, rows: Tensor) -> Tensor:
        """The mean loss of the positives at `rows` (int64 [m]); candidates are shared by the batch, each item once."""
        settings, positives = self.settings, self.positives
        user, item = positives.user[rows], positives.item[rows]
        draws = torch.rand(settings.negatives, dtype=torch.float64) * self.cumulative[-1]
        candidates = torch.unique(torch.cat([item, torch.searchsorted(self.cumulative, draws, right=True)]))
        self.column[candidates] = torch.arange(len(candidates))
        positive = self.column[item]
        row, column = self._accidental_hits(user)
        self.column[candidates] = -1
        recent = positives.last(user, positives.before[rows], settings.last_n)
        return mean_listwise_loss(
            self.model.user_vectors(user, recent, self.user_features),
            self.model.item_vectors(candidates, self.item_features, self.content),
            positive,
            self.log_p[candidates],
            settings.temperature,
            row,
            column,
        )

    def _accidental_hits(self, user: Tensor) -> tuple[Tensor, Tensor]:
        """(row, column) of the candidates that are positives of the row's own user: no negatives of theirs."""
        index, offsets = gather_rows(self.positives.offsets, user)
        column = self.column[self.positives.item[index]]
        hit = (column >= 0).nonzero().squeeze(1)
        return segment_of(offsets)[hit], column[hit]
