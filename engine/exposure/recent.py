"""The last few items shown to each user, exactly: a ring for each user."""

from __future__ import annotations

import torch
from torch import Tensor


class RecentItems:
    """items: int32 [1 + users, size], -1 empty. count: int64 [1 + users], items pushed so far. Entry 0 is nobody's."""

    def __init__(self, size: int) -> None:
        self.items = torch.full((1, size), -1, dtype=torch.int32)
        self.count = torch.zeros(1, dtype=torch.int64)

    @property
    def size(self) -> int:
        return self.items.shape[1]

    @property
    def nbytes(self) -> int:
        return self.items.nbytes + self.count.nbytes

    def grown(self, entries: int) -> tuple[Tensor, ...]:
        more = entries - self.items.shape[0]
        items = torch.cat([self.items, torch.full((more, self.size), -1, dtype=torch.int32)])
        return items, torch.cat([self.count, torch.zeros(more, dtype=torch.int64)])

    def take(self, grown: tuple[Tensor, ...]) -> None:
        self.items, self.count = grown

    def push(self, entries: Tensor, items: Tensor) -> None:
        """Adds items in the order given; of each user the last `size` stay."""
        if self.size == 0:
            return
        place = self.count[entries] + rank_in_group(entries)
        self.count.index_add_(0, entries, torch.ones_like(entries))
        kept = place >= self.count[entries] - self.size
        self.items[entries[kept], place[kept] % self.size] = items[kept].to(torch.int32)

    def contains(self, entries: Tensor, items: Tensor) -> Tensor:
        """bool [n]: whether each item is among its entry's last `size`."""
        return (self.items[entries] == items.unsqueeze(1)).any(1) & (items >= 0)

    def latest(self, entries: Tensor) -> Tensor:
        """int64 [n, size]: each entry's items, newest first, -1 where there are fewer."""
        back = self.count[entries].unsqueeze(1) - 1 - torch.arange(self.size)
        return self.items[entries].gather(1, back.remainder(max(self.size, 1))).long()


def rank_in_group(group: Tensor) -> Tensor:
    """int64 [n]: how many earlier entries have the same group number (int64 [n])."""
    order = torch.argsort(group, stable=True)
    steps = torch.arange(group.shape[0])
    first = torch.ones_like(group, dtype=torch.bool)
    sorted_group = group[order]
    first[1:] = sorted_group[1:] != sorted_group[:-1]
    start = torch.where(first, steps, 0).cummax(0).values
    rank = torch.empty_like(group)
    rank[order] = steps - start
    return rank
