"""The positives of recall: what each user took an interest in, in order, and what came before each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headrace.training.build import Build


@dataclass(frozen=True)
class Positives:
    """P positives, sorted by user, then time.

    user, item: int64 [P] rows. before: int64 [P], the user's positives strictly earlier than this one end there.
    offsets: int64 [U+1], the positives of each user.
    """

    user: Tensor
    item: Tensor
    before: Tensor
    offsets: Tensor

    def __len__(self) -> int:
        return len(self.item)

    def last(self, users: Tensor, end: Tensor, n: int) -> Tensor:
        """int64 [m, n]: the last `n` items of `users` (int64 [m]) before position `end` (int64 [m]), newest first,
        -1 pad."""
        place = end[:, None] - 1 - torch.arange(n)
        return torch.where(place >= self.offsets[users][:, None], self.item[place.clamp_min(0)], -1)


def positives_of(build: Build) -> Positives:
    """The interactions with interest, of the log and of the older history. Exposed without a click is no sample here.

    Raises ValueError when there are none.
    """
    dataset = build.dataset
    kept = [log.take(log.interest() > 0) for log in build.logs]
    user = np.concatenate([log.user for log in kept]).astype(np.int64)
    item = np.concatenate([log.item for log in kept]).astype(np.int64)
    time = np.concatenate([log.time for log in kept])
    if not len(user):
        raise ValueError(f"dataset: expected interactions with interest to train on, got none in {dataset.name!r}")
    order = np.lexsort((time, user))
    user, item, time = user[order], item[order], time[order]
    first = np.ones(len(user), np.bool_)
    first[1:] = (user[1:] != user[:-1]) | (time[1:] != time[:-1])
    before = np.maximum.accumulate(np.where(first, np.arange(len(user)), 0))
    offsets = np.searchsorted(user, np.arange(len(dataset.users) + 1))
    return Positives(*(torch.from_numpy(column) for column in (user, item, before, offsets)))
