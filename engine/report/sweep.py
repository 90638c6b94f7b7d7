"""What the theta sweep finds, as plain records: whoever measures fills them in, the report shows them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SweepRow:
    """Means over the requests. reward: standard deviations of a request's candidates above their mean. distance:
    intra-list. categories: distinct ones on a page, NaN where the catalogue has none. hits: held-out items on a page,
    NaN without. ms: wall time of picking, per request, of the fastest pass. yardstick: not one
    of the re-ranking methods."""

    method: str
    theta: float
    reward: float
    distance: float
    categories: float
    hits: float
    ms: float
    yardstick: bool


@dataclass(frozen=True)
class SearchRow:
    """A greedy beside the swap search that starts from its pages, without a window: mean `page_value` of both, and the
    mean number of items that the search exchanged on a page."""

    method: str
    theta: float
    greedy: float
    searched: float
    exchanged: float


@dataclass(frozen=True)
class Sweep:
    """rows: by method, then by theta. search: DPP and MSD against local search. requests, k, window, candidates: what
    was asked, candidates as a mean. held_out: whether hits are known."""

    rows: list[SweepRow]
    search: list[SearchRow]
    requests: int
    k: int
    window: int | None
    candidates: float
    held_out: bool
