"""Trains matrix completion: squared error on the exposures, whose interest an inner product predicts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from rich.progress import Progress
from torch import Tensor, nn

from headrace.data.dataset import Dataset
from headrace.retrieval.matrix_completion import MatrixCompletion
from headrace.retrieval.towers import SPARSE_ROWS
from headrace.retrieval.vector_index import IndexName, build_index, check_index
from headrace.training.loop import FitReport, TrainSettings, fit

#: One point each; an exposure without any of them counts 0.
POINTS = ("click", "like", "collect", "share")
_START = 0.1


class MatrixCompletionSettings(TrainSettings):
    """Matrix completion: its vectors, its training and its index."""

    epochs: int = Field(default=5, ge=1, description="passes over the exposures")
    batch_size: int = Field(default=4096, ge=1, description="exposures a step")
    learning_rate: float = Field(default=1e-3, gt=0, description="of nothing here: all weights are embeddings")
    embedding_learning_rate: float = Field(default=1e-2, gt=0, description="of the vectors")
    dim: int = Field(default=32, ge=1, description="width of the vectors")
    regularisation: float = Field(
        default=0.02, ge=0, description="weight of the squared lengths of an exposure's two vectors in the loss"
    )
    index: IndexName = Field(default="exact", description="what searches the items' vectors ([ann.md](ann.md))")


def train_matrix_completion(
    dataset: Dataset,
    settings: MatrixCompletionSettings | None = None,
    *,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> tuple[MatrixCompletion, FitReport]:
    """Train on every pair of user and item in the log and the older history, each once an epoch.

    checkpoint: see `headrace.training.loop.fit`. Raises ValueError when there is no exposure; ImportError, before any
    training, where the index needs FAISS and it is not installed.
    """
    settings = settings or MatrixCompletionSettings()
    check_index(settings.index)
    user, item, interest = exposures(dataset)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(settings.seed)
        model = Factors(len(dataset.users), len(dataset.catalogue), settings.dim)

    def loss_of(rows: Tensor) -> Tensor:
        return model.loss(user[rows], item[rows], interest[rows], settings.regularisation)

    report = fit(
        model, len(user), loss_of, settings, label="matrix_completion", progress=progress, checkpoint=checkpoint
    )
    known = torch.zeros(len(dataset.users), dtype=torch.bool)
    known[user] = True
    rows = item.unique()
    users, items = (table.weight.detach() for table in (model.users, model.items))
    vectors = items[rows]
    index = build_index(vectors, settings.index, settings.seed)
    return MatrixCompletion(users, known, rows, vectors, index=index), report


def exposures(dataset: Dataset) -> tuple[Tensor, Tensor, Tensor]:
    """user, item: int64 [n], each pair once. interest: float32 [n], the number of `POINTS` that it ever had."""
    logs = [dataset.log] if dataset.history is None else [dataset.history, dataset.log]
    pairs = np.concatenate([log.user.astype(np.int64) * len(dataset.catalogue) + log.item for log in logs])
    pair, place = np.unique(pairs, return_inverse=True)
    interest = np.zeros(len(pair), np.float32)
    for name in POINTS:
        given = np.concatenate([log.signals.get(name, np.zeros(len(log), np.int8)) == 1 for log in logs])
        interest += np.bincount(place[given], minlength=len(pair)) > 0
    user, item = np.divmod(pair, max(1, len(dataset.catalogue)))
    return torch.from_numpy(user), torch.from_numpy(item), torch.from_numpy(interest)


class Factors(nn.Module):
    """A vector of each user and of each item; the tables share nothing."""

    def __init__(self, users: int, items: int, dim: int) -> None:
        super().__init__()
        self.users = nn.Embedding(users, dim, sparse=users > SPARSE_ROWS)
        self.items = nn.Embedding(items, dim, sparse=items > SPARSE_ROWS)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=_START)

    def loss(self, user: Tensor, item: Tensor, interest: Tensor, regularisation: float) -> Tensor:
        """The mean of (y - <a, b>)^2 + regularisation (|a|^2 + |b|^2) over exposures."""
        a, b = self.users(user), self.items(item)
        error = interest - (a * b).sum(1)
        total: Tensor = (error**2 + regularisation * (a**2 + b**2).sum(1)).mean()
        return total
