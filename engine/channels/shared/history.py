"""What each user lately took an interest in: the user -> items index shared by the channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.data import InteractionLog
from headrace.state import State
from headrace.training.build import Build

Points = Callable[[InteractionLog], NDArray[np.integer]]


class Events(NamedTuple):
    """Rows of one or more logs that carry points, oldest first; user, item, points, time: int64 [n]."""

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    points: NDArray[np.int64]
    time: NDArray[np.int64]

    def take(self, index: NDArray[np.integer] | NDArray[np.bool_]) -> Events:
        return Events(*(column[index] for column in self))


def events(
    logs: Sequence[InteractionLog], points: Points, users: int | None = None, items: int | None = None
) -> Events:
    """The rows of `logs` with points > 0 in time order; at equal times the later row (then the later log) is newer.

    Raises ValueError when a user or item row lies outside the tables of `users` and `items`.
    """
    parts: list[Events] = []
    for log in logs:
        _check_rows("user", log.user, users)
        _check_rows("item", log.item, items)
        score = points(log).astype(np.int64)
        kept = score > 0
        parts.append(
            Events(log.user[kept].astype(np.int64), log.item[kept].astype(np.int64), score[kept], log.time[kept])
        )
    columns = [np.concatenate([np.zeros(0, np.int64), *column]) for column in zip(*parts, strict=True)]
    rows = Events(*columns) if parts else Events(*(np.zeros(0, np.int64),) * 4)
    return rows.take(np.argsort(rows.time, kind="stable"))


def clicks(log: InteractionLog) -> NDArray[np.integer]:
    """1 for each click; a log without clicks counts its rows with any interest."""
    clicked = log.signals["click"] == 1 if log.gave("click") else log.interest() > 0
    return clicked.astype(np.int64)


def _check_rows(name: str, rows: NDArray[np.int32], limit: int | None) -> None:
    if len(rows) and (rows.min() < 0 or (limit is not None and rows.max() >= limit)):
        expected = "0 up" if limit is None else f"0 to {limit - 1}"
        raise ValueError(f"logs: expected {name} rows from {expected}, got {rows.min()} to {rows.max()}")


def total_by_pair(rows: Events, key: NDArray[np.int64]) -> Events:
    """One row for each (user, key), its `item` the key: points added up, the latest time; by user, newest first."""
    span = int(key.max()) + 1 if len(key) else 1
    order = np.argsort(rows.user * span + key, kind="stable")
    pair = (rows.user * span + key)[order]
    first = np.flatnonzero(np.diff(pair, prepend=-1))
    newest = order[np.append(first[1:], len(order)) - 1] if len(order) else order
    total = np.add.reduceat(rows.points[order], first) if len(order) else rows.points
    by_user = np.lexsort((-newest, rows.user[newest]))
    newest = newest[by_user]
    return Events(rows.user[newest], key[newest], total[by_user], rows.time[newest])


def first_rows(user: NDArray[np.int64], users: int, limit: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The first `limit` rows of each user in rows grouped by user: (offsets int64 [users+1], bool [n] kept)."""
    counts = np.bincount(user, minlength=users)
    start = np.append(0, np.cumsum(counts))
    kept = np.arange(len(user)) - start[user] < limit
    return np.append(0, np.cumsum(np.minimum(counts, limit))), kept


@dataclass(frozen=True, eq=False)
class UserHistory:
    """Each user's last items, newest first: user u owns entries offsets[u]:offsets[u+1].

    offsets: int64 [U+1]. item: int64 [nnz], each item once per user. interest: float32 [nnz], the interest label
    (one point for each of click, like, collect, share, follow, comment) added up over the user's interactions with the
    item; always > 0. time: int64 [nnz], ms since the epoch, of the last of these interactions with any interest.
    """

    offsets: Tensor
    item: Tensor
    interest: Tensor
    time: Tensor

    @classmethod
    def build(
        cls, logs: Sequence[InteractionLog], users: int, last: int = 200, items: int | None = None
    ) -> UserHistory:
        """The last `last` items of `users` users in `logs` together, e.g. an older history and the training log.

        At equal times the later row is newer. Raises ValueError when last < 1 or a row lies outside the tables
        (`items` limits the item rows where it is given).
        """
        if last < 1:
            raise ValueError(f"last: expected at least 1, got {last}")
        rows = events(logs, InteractionLog.interest, users, items)
        pairs = total_by_pair(rows, rows.item)
        offsets, kept = first_rows(pairs.user, users, last)
        return cls(
            torch.from_numpy(offsets),
            torch.from_numpy(pairs.item[kept]),
            torch.from_numpy(pairs.points[kept].astype(np.float32)),
            torch.from_numpy(pairs.time[kept]),
        )

    def __len__(self) -> int:
        """How many users the table has."""
        return self.offsets.shape[0] - 1

    def state(self) -> State:
        return State.of(offsets=self.offsets, item=self.item, interest=self.interest, time=self.time)

    @classmethod
    def from_state(cls, state: State) -> UserHistory:
        item = state.tensor("item", torch.int64, None, least=0, below="items")
        return cls(
            state.offsets("offsets", "users", len(item)),
            item,
            state.tensor("interest", torch.float32, len(item), least=0),
            state.tensor("time", torch.int64, len(item)),
        )


def user_history(build: Build, last: int) -> UserHistory:
    """The last `last` items of every user, from all that the dataset knows; for `Build.once`."""
    return UserHistory.build(build.logs, len(build.dataset.users), last, len(build.dataset.catalogue))
