"""Which times of exposures are believed."""

from __future__ import annotations

import torch
from torch import Tensor


class Clock:
    """The newest time known, in ms since the epoch, and a rule for what may come after it.

    A time is implausible before 1970, from the year 2100 on (as microseconds are), and when more than 18 months, or a
    window where that is longer, lie between it and the next earlier time known: the newest so far and the others of the
    same call, or where nothing is known yet, the median of the call. `advance` is believed without a question.
    """

    LAST = 4_102_444_800_000
    _GAP = 548 * 86_400_000

    def __init__(self, window_ms: int) -> None:
        self.newest: int | None = None
        self.implausible = 0
        self._gap = max(self._GAP, window_ms)

    def advance(self, now: int) -> None:
        self.newest = now if self.newest is None else max(self.newest, now)

    def plausible(self, at: Tensor) -> Tensor:
        """bool [n]: which of `at` (int64 [n]) are believed."""
        good = (at >= 0) & (at < self.LAST)
        times = at[good].sort().values
        if not len(times):
            return good
        known = int(times[(len(times) - 1) // 2]) if self.newest is None else self.newest
        later = torch.cat([torch.tensor([known]), times[times > known]])
        return good & (at <= later[: int((later.diff() <= self._gap).cumprod(0).sum()) + 1].max())

    def take(self, at: Tensor, given: int) -> None:
        """Notes that of `given` times these are believed."""
        self.implausible += given - len(at)
        if len(at):
            self.advance(int(at.max()))
