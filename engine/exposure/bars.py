"""What a request may not be shown, and why."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headrace.exposure.filter import ExposureFilter
from headrace.exposure.stock import Stock
from headrace.jagged import segment_of
from headrace.types import Candidates, Requests

#: What bars an item, a bit each -> what the reasons of a page call it.
WHY = {1: "removed by the exposure filter", 2: "removed as too old", 4: "removed as blocked"}
_OLD, _BLOCKED = 2, 4


@dataclass(frozen=True)
class Bars:
    """Tells of (request, item) pairs whether the item is barred: seen by the user, too old, or blocked."""

    exposure: ExposureFilter
    stock: Stock

    def why(self, requests: Requests, of: Tensor, offsets: Tensor, item: Tensor) -> Tensor:
        """uint8 [n], bits of `WHY`, 0 where the item may be shown. List l, item[offsets[l]:offsets[l+1]], is of request
        of[l] (int64 [L])."""
        why = self.exposure.seen_lists(requests.user, requests.time, offsets, item, of).view(torch.uint8)
        if self.stock.recall_ms:
            why.add_(self.stock.old(requests.time.index_select(0, of), offsets, item).view(torch.uint8), alpha=_OLD)
        if requests.blocked:
            request = of.repeat_interleave(offsets.diff())
            hit = torch.zeros_like(item, dtype=torch.bool)
            for kind, (bounds, code) in requests.blocked.items():
                self._block(hit, kind, request, item, segment_of(bounds), code)
            why.add_(hit.view(torch.uint8), alpha=_BLOCKED)
        return why

    def _block(self, hit: Tensor, kind: str, request: Tensor, item: Tensor, blocker: Tensor, code: Tensor) -> None:
        """Sets hit[i] where request[i] is one of `blocker` and item[i] has the code beside it."""
        pair, codes, span = self.stock.codes_of(kind, item)
        found = torch.isin(request.index_select(0, pair) * span + codes, blocker * span + code)
        hit[pair[found]] = True

    def marked(self, requests: Requests, found: Candidates) -> Candidates:
        """`found` with the column "why"."""
        why = self.why(requests, torch.arange(found.batch), found.offsets, found.item)
        return found.with_score(found.score, why=why)
