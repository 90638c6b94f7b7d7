"""The held-out question: what will these users want after the split? One request for each user who wants anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.data import InteractionLog
from headrace.data.positive import INTERESTED, Positive
from headrace.data.signals import IMPRESSION
from headrace.evaluation.retrieval import RetrievalQuality, judge, pad_lists
from headrace.jagged import gather_rows, offsets_of, top_per_segment
from headrace.types import Candidates, Requests


@dataclass(frozen=True)
class HeldOut:
    """requests: one a user, in the context of the user's first held-out row.
    offsets int64 [B+1], items int64, grades float64: each user's distinct items that are wanted in the test and were
    not known in training, and how much: the points of interest, 1 where there are none.
    users_of: int64 [N], how many of `users` training users had each item.
    """

    requests: Requests
    offsets: Tensor
    items: Tensor
    grades: Tensor
    users_of: NDArray[np.int64]
    users: int

    def batches(self, size: int) -> Iterator[Requests]:
        """The requests in batches of at most `size`."""
        for start in range(0, len(self.requests), size):
            yield self.requests.take(torch.arange(start, min(start + size, len(self.requests))))

    def judge(self, lists: NDArray[np.int64], ks: Sequence[int]) -> list[RetrievalQuality]:
        """The quality of `lists` (int64 [B, K], -1 padding), in the order of the requests, at each of `ks`."""
        users_of = self.users_of if self.users else None
        return judge(lists, self.offsets, self.items, ks, len(self.users_of), self.grades, users_of, self.users)

    def blocking(self, known: NDArray[np.int64]) -> HeldOut:
        """The same question, whose requests block what their users know. known: pairs of `known_pairs`."""
        user, item = np.divmod(known, len(self.users_of))
        rows = self.requests.user.numpy()
        first, last = np.searchsorted(user, rows, "left"), np.searchsorted(user, rows, "right")
        bounds = torch.from_numpy(np.stack([first, last]))
        offsets = offsets_of(bounds[1] - bounds[0])
        entry = torch.arange(int(offsets[-1])) + (bounds[0] - offsets[:-1]).repeat_interleave(offsets.diff())
        blocked = {"item": (offsets, torch.from_numpy(item).index_select(0, entry))}
        return replace(self, requests=replace(self.requests, blocked=blocked))


def known_pairs(train: InteractionLog, n_items: int) -> NDArray[np.int64]:
    """int64 [P], rising: user row * n_items + item row of what each user was shown in training.

    A row is an exposure unless it says that nothing was shown, as for the exposure filter.
    """
    shown = train.signals[IMPRESSION] != 0 if IMPRESSION in train.signals else np.ones(len(train), np.bool_)
    return np.unique(train.user[shown].astype(np.int64) * n_items + train.item[shown])


def held_out(
    train: InteractionLog,
    test: InteractionLog,
    n_items: int,
    limit: int | None = None,
    seed: int = 0,
    positive: Positive = INTERESTED,
    at: int | None = None,
) -> HeldOut:
    """Builds the question from the log after the split; at most `limit` users, drawn by `seed`.

    positive: which rows of `test` are wanted. at: the time of every request, ms since the epoch; that of the first test
    row where not given. Items that a user knows from training are not asked for: they must not be shown again.
    """
    wanted = positive.of(test)
    known = known_pairs(train, n_items)
    pair, grade = _graded(test, wanted, n_items)
    new = ~np.isin(pair, known, assume_unique=True)
    pair, grade = pair[new], grade[new]
    user = pair // n_items
    users = np.unique(user)
    if limit is not None and len(users) > limit:
        users = np.sort(np.random.default_rng(seed).choice(users, limit, replace=False))
        kept = np.isin(user, users)
        pair, grade, user = pair[kept], grade[kept], user[kept]
    counts = np.searchsorted(user, users, "right") - np.searchsorted(user, users, "left")
    _, first = np.unique(test.user, return_index=True)
    first = first[np.isin(test.user[first], users)]
    moment = (int(test.time[0]) if len(test) else 0) if at is None else at
    context = {name: torch.from_numpy(codes[first].astype(np.int64)) for name, codes in test.context.items()}
    return HeldOut(
        Requests(torch.from_numpy(users), torch.full((len(users),), moment, dtype=torch.int64), context),
        offsets_of(torch.from_numpy(counts)),
        torch.from_numpy(pair % n_items),
        torch.from_numpy(grade),
        np.bincount(known % n_items, minlength=n_items),
        len(np.unique(known // n_items)),
    )


def _graded(
    test: InteractionLog, wanted: NDArray[np.bool_], n_items: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The distinct wanted pairs, rising, and the most points of interest of each, at least 1."""
    pair = test.user[wanted].astype(np.int64) * n_items + test.item[wanted]
    points = test.interest()[wanted].clip(min=1).astype(np.float64)
    order = np.lexsort((-points, pair))
    pairs, first = np.unique(pair[order], return_index=True)
    return pairs, points[order][first]


def best(candidates: Candidates, k: int) -> NDArray[np.int64]:
    """int64 [B, k]: each request's best k items by score, ties to the lower item, -1 padding."""
    index, offsets = top_per_segment(candidates.offsets, candidates.score, candidates.item, k)
    return pad_lists(offsets, candidates.item[index], k)


def in_order(candidates: Candidates, k: int) -> NDArray[np.int64]:
    """int64 [B, k]: each request's first k items as they stand, -1 padding."""
    index, offsets = gather_rows(candidates.offsets, torch.arange(candidates.batch), k)
    return pad_lists(offsets, candidates.item[index], k)
