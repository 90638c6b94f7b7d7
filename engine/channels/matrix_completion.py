"""Matrix completion: user and item vectors whose inner product predicts interest (Koren, Bell, Volinsky 2009)."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field

from torch import Tensor

from headrace.channels.shared.vector_index import VectorIndex, build_index, index_of, index_state, recall_nearest
from headrace.types import Candidates, Requests


@dataclass(eq=False)
class MatrixCompletion:
    """Recall by trained vectors. `headrace.training.matrix_completion.train_matrix_completion` makes one.

    A baseline beside the two towers: it learns from exposures and ids alone, so it knows nothing of an item rarely
    shown, and ranks a whole catalogue poorly.

    users: float32 [U, dim]. known: bool [U], users with exposures in training; others get nothing.
    rows: int64 [M] ascending, the items recalled. vectors: float32 [M, dim], theirs.
    index: what searches `vectors`, row by row, by inner product; an exact index where none is given.
    """

    name = "matrix_completion"
    personalised = True

    users: Tensor
    known: Tensor
    rows: Tensor
    vectors: Tensor
    index: InitVar[VectorIndex | None] = None
    _index: VectorIndex = field(init=False, repr=False)

    def __post_init__(self, index: VectorIndex | None) -> None:
        self._index = build_index(self.vectors, "exact") if index is None else index

    def recall(self, requests: Requests, quota: int) -> Candidates:
        """The `quota` items of largest inner product, which is the score (float32). Unknown users get none.

        An approximate index may bring fewer, or others, with their true scores.
        Items that the user has seen are not left out: the exposure filter does that.
        Raises ValueError for a quota below 1 or a user row outside the table.
        """
        return recall_nearest(
            requests, quota, self.known, self.rows, self._index, lambda users: self.users.index_select(0, users)
        )

    def state(self) -> dict[str, Tensor]:
        """Every tensor, and an approximate index under "index."."""
        return {**index_state(self._index), **{name: getattr(self, name) for name in _TENSORS}}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> MatrixCompletion:
        return cls(**{name: state[name] for name in _TENSORS}, index=index_of(state["vectors"], state))


_TENSORS = ("users", "known", "rows", "vectors")
