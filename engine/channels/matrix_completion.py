"""Matrix completion: user and item vectors whose inner product predicts interest (Koren, Bell, Volinsky 2009)."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from headrace.channels import Channel, channel
from headrace.channels.shared.tables import embedding_table
from headrace.channels.shared.vector_index import (
    VectorIndex,
    VectorSettings,
    build_index,
    check_index,
    index_of,
    index_state,
    recall_nearest,
)
from headrace.kernels import TopKIndex
from headrace.state import State
from headrace.training.build import Build
from headrace.training.settings import TrainSettings
from headrace.types import Candidates, Requests

#: One point each; an exposure without any of them counts 0.
POINTS = ("click", "like", "collect", "share")
_START = 0.1


@channel
@dataclass(eq=False)
class MatrixCompletion(Channel):
    """Recall by trained vectors.

    A baseline beside the two towers: it learns from exposures and ids alone, so it knows nothing of an item rarely
    shown, and ranks a whole catalogue poorly.

    users: float32 [U, dim]. known: bool [U], users with exposures in training; others get nothing.
    rows: int64 [M] ascending, the items recalled. vectors: float32 [M, dim], theirs.
    index: what searches `vectors`, row by row, by inner product; an exact index where none is given.
    """

    name = "matrix_completion"
    personalised = True

    class Settings(TrainSettings, VectorSettings):
        """Matrix completion: its vectors, its training and its index."""

        epochs: int = Field(default=5, ge=1, description="passes over the exposures")
        batch_size: int = Field(default=4096, ge=1, description="exposures a step")
        learning_rate: float = Field(default=1e-3, gt=0, description="of nothing here: all weights are embeddings")
        embedding_learning_rate: float = Field(default=1e-2, gt=0, description="of the vectors")
        dim: int = Field(default=32, ge=1, description="width of the vectors")
        regularisation: float = Field(
            default=0.02, ge=0, description="weight of the squared lengths of an exposure's two vectors in the loss"
        )

    users: Tensor
    known: Tensor
    rows: Tensor
    vectors: Tensor
    index: InitVar[VectorIndex | None] = None
    _index: VectorIndex = field(init=False, repr=False)

    def __post_init__(self, index: VectorIndex | None) -> None:
        self._index = TopKIndex(self.vectors) if index is None else index

    @classmethod
    def fit(cls, build: Build, settings: Settings) -> MatrixCompletion:
        """Train on every pair of user and item in the log and the older history, each once an epoch.

        Raises ValueError when there is no exposure; ImportError, before any training, where the index needs FAISS and
        it is not installed.
        """
        check_index(settings)
        dataset = build.dataset
        user, item, interest = exposures(build)
        with build.seeded():
            model = Factors(len(dataset.users), len(dataset.catalogue), settings.dim)

        def loss_of(rows: Tensor) -> Tensor:
            return model.loss(user[rows], item[rows], interest[rows], settings.regularisation)

        build.train(model, len(user), loss_of, settings, cls.name)
        known = torch.zeros(len(dataset.users), dtype=torch.bool)
        known[user] = True
        rows = item.unique()
        users, items = (table.weight.detach() for table in (model.users, model.items))
        vectors = items[rows]
        return cls(users, known, rows, vectors, index=build_index(vectors, settings, build.seed))

    def recall(self, requests: Requests, quota: int) -> Candidates:
        """The `quota` items of largest inner product, which is the score (float32). Unknown users get none.

        An approximate index may bring fewer, or others, with their true scores.
        Raises ValueError for a quota below 1 or a user row outside the table.
        """
        return recall_nearest(
            requests, quota, self.known, self.rows, self._index, lambda users: self.users.index_select(0, users)
        )

    def state(self) -> State:
        """Every tensor, and an approximate index under "index"."""
        return State.of(index=index_state(self._index), **{name: getattr(self, name) for name in _TENSORS})

    @classmethod
    def from_state(cls, state: State) -> MatrixCompletion:
        users = state.tensor("users", torch.float32, "users", None)
        known = state.tensor("known", torch.bool, len(users))
        rows = state.tensor("rows", torch.int64, None, least=0, below="items", rising=True)
        vectors = state.tensor("vectors", torch.float32, len(rows), users.shape[1])
        return cls(users, known, rows, vectors, index=index_of(vectors, state.under("index")))


_TENSORS = ("users", "known", "rows", "vectors")


def exposures(build: Build) -> tuple[Tensor, Tensor, Tensor]:
    """user, item: int64 [n], each pair once. interest: float32 [n], the number of `POINTS` that it ever had."""
    dataset, logs = build.dataset, build.logs
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
        self.users = embedding_table(users, dim, _START)
        self.items = embedding_table(items, dim, _START)

    def loss(self, user: Tensor, item: Tensor, interest: Tensor, regularisation: float) -> Tensor:
        """The mean of (y - <a, b>)^2 + regularisation (|a|^2 + |b|^2) over exposures."""
        a, b = self.users(user), self.items(item)
        error = interest - (a * b).sum(1)
        total: Tensor = (error**2 + regularisation * (a**2 + b**2).sum(1)).mean()
        return total
