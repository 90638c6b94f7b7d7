"""The held-out question: what will these users click after the cut? One request for each user who does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.data import InteractionLog
from headrace.evaluation.retrieval import RetrievalQuality, pad_lists, retrieval_quality
from headrace.jagged import gather_rows, offsets_of, top_per_segment
from headrace.types import Candidates, Requests


@dataclass(frozen=True)
class HeldOut:
    """requests: one a user, at the moment of the cut, in the context of the user's first held-out row.
    offsets int64 [B+1], items int64: each user's distinct items clicked after the cut and not seen before it.
    """

    requests: Requests
    offsets: Tensor
    items: Tensor

    def batches(self, size: int) -> Iterator[Requests]:
        """The requests in batches of at most `size`."""
        for start in range(0, len(self.requests), size):
            yield take(self.requests, slice(start, start + size))

    def judge(self, lists: NDArray[np.int64], k: int, n_items: int) -> RetrievalQuality:
        """The quality of `lists` (int64 [B, K], -1 padding), in the order of the requests."""
        return retrieval_quality(lists, self.offsets, self.items, k, n_items)


def take(requests: Requests, index: slice | Tensor) -> Requests:
    """The requests at `index`."""
    return requests.take(torch.arange(len(requests))[index])


def held_out(train: InteractionLog, test: InteractionLog, n_items: int, limit: int, seed: int = 0) -> HeldOut:
    """Builds the question from the log after the cut; at most `limit` users, drawn by `seed`.

    Items that the user saw before the cut are not asked for: the exposure filter must not show them again.
    """
    wanted = test.signals["click"] == 1 if "click" in test.signals else np.ones(len(test), bool)
    pair = test.user.astype(np.int64) * n_items + test.item
    asked = np.setdiff1d(pair[wanted], train.user.astype(np.int64) * n_items + train.item)
    user, item = asked // n_items, asked % n_items
    users = np.unique(user)
    if len(users) > limit:
        users = np.sort(np.random.default_rng(seed).choice(users, limit, replace=False))
        kept = np.isin(user, users)
        user, item = user[kept], item[kept]
    counts = np.searchsorted(user, users, "right") - np.searchsorted(user, users, "left")
    _, first = np.unique(test.user, return_index=True)
    first = first[np.isin(test.user[first], users)]
    cut = int(test.time[0]) if len(test) else 0
    context = {name: torch.from_numpy(codes[first].astype(np.int64)) for name, codes in test.context.items()}
    requests = Requests(torch.from_numpy(users), torch.full((len(users),), cut), context)
    return HeldOut(requests, offsets_of(torch.from_numpy(counts)), torch.from_numpy(item))


def best(candidates: Candidates, k: int) -> NDArray[np.int64]:
    """int64 [B, k]: each request's best k items by score, ties to the lower item, -1 padding."""
    index, offsets = top_per_segment(candidates.offsets, candidates.score, candidates.item, k)
    return pad_lists(offsets, candidates.item[index], k)


def in_order(candidates: Candidates, k: int) -> NDArray[np.int64]:
    """int64 [B, k]: each request's first k items as they stand, -1 padding."""
    index, offsets = gather_rows(candidates.offsets, torch.arange(candidates.batch), k)
    return pad_lists(offsets, candidates.item[index], k)
