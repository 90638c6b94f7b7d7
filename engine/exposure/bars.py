"""What a request may not be shown, and why."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headrace.exposure.filter import ExposureFilter
from headrace.exposure.stock import Stock
from headrace.types import Candidates, Requests

#: What bars an item, a bit each -> what the reasons of a page call it.
WHY = {1: "removed by the exposure filter", 2: "removed as too old"}
_OLD = 2


@dataclass(frozen=True)
class Bars:
    """Tells of (request, item) pairs whether the item is barred: the user has seen it, or it is too old."""

    exposure: ExposureFilter
    stock: Stock

    def why(self, requests: Requests, of: Tensor, offsets: Tensor, item: Tensor) -> Tensor:
        """uint8 [n], bits of `WHY`, 0 where the item may be shown. List l, item[offsets[l]:offsets[l+1]], is of request
        of[l] (int64 [L])."""
        user, time = requests.user.index_select(0, of), requests.time.index_select(0, of)
        why = self.exposure.seen_lists(user, time, offsets, item).to(torch.uint8)
        if self.stock.recall_ms:
            why += _OLD * self.stock.old(item, time.repeat_interleave(offsets.diff()))
        return why

    def marked(self, requests: Requests, found: Candidates) -> Candidates:
        """`found` with the column "why"."""
        why = self.why(requests, torch.arange(found.batch), found.offsets, found.item)
        return found.with_score(found.score, why=why)
