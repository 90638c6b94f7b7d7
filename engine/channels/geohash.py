"""GeoHash: the latest good items of the place that a request comes from, the same for everybody there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from headrace.channels import Channel, ChannelSettings, channel
from headrace.channels.shared.history import clicks
from headrace.channels.shared.publishing import publish_times
from headrace.channels.shared.two_hop import check_quota, recall_in_two_hops
from headrace.data import Dataset
from headrace.kernels.two_hop import Edges
from headrace.state import State
from headrace.training.build import Build
from headrace.types import Candidates, Requests

#: Characters of the finest code, and the bits of one.
_FINEST, _BITS = 12, 5
#: Rows of the log at the mean rate that every item starts with.
_PRIOR = 20.0


@channel
@dataclass(eq=False)
class GeoHash(Channel):
    """Recall by GeoHash (Niemeyer 2008): a request's cell -> the cell's items, newest first.

    A request says where it is by the context "geohash", see `geohash_codes`; one that doesn't gets none.
    cells: int64 [C] ascending, the first `precision` characters of their codes. offsets int64 [C+1], item, published
    int64: each cell's items, newest first, ties to the lower item.
    """

    name = "geohash"
    personalised = False

    class Settings(ChannelSettings):
        """The latest good items near the request."""

        precision: int = Field(
            default=6, ge=1, le=_FINEST, description="characters of a cell's code; 6: some 1.2 by 0.6 km"
        )
        quality: float = Field(
            default=0.5,
            ge=0,
            description="least click rate of an item, over the mean of all; smoothed so that a new one has 1; 0: any",
        )

    cells: Tensor
    offsets: Tensor
    item: Tensor
    published: Tensor
    precision: int
    _seeds: Edges = field(init=False, repr=False)
    _items: Edges = field(init=False, repr=False)

    def __post_init__(self) -> None:
        own = torch.arange(len(self.cells))
        self._seeds = Edges(torch.arange(len(self.cells) + 1), own, torch.ones(len(self.cells), dtype=torch.float32))
        self._items = Edges(self.offsets, self.item, time=self.published)

    @classmethod
    def needs(cls, dataset: Dataset) -> str | None:
        if len(_placed(dataset)):
            return None
        return "catalogue.latitude, longitude: expected the coordinates of some items, got none"

    @classmethod
    def fit(cls, build: Build, settings: Settings) -> GeoHash:
        """Index the good items of each cell by publish time (see `publish_times`)."""
        catalogue = build.dataset.catalogue
        assert catalogue.latitude is not None
        assert catalogue.longitude is not None
        item = _placed(build.dataset)
        item = item[_click_rates(build, len(catalogue))[item] >= settings.quality]
        codes = geohash_codes(catalogue.latitude[item], catalogue.longitude[item])
        published = publish_times(catalogue, build.logs)[item]
        cells, cell = np.unique(codes >> _BITS * (_FINEST - settings.precision), return_inverse=True)
        order = np.lexsort((item, -published, cell))
        offsets = np.searchsorted(cell[order], np.arange(len(cells) + 1))
        return cls(
            torch.from_numpy(cells),
            torch.from_numpy(offsets),
            torch.from_numpy(item[order]),
            torch.from_numpy(published[order]),
            settings.precision,
        )

    def recall(self, requests: Requests, quota: int) -> Candidates:
        """score = 1 / (1 + r), r = 0 for the cell's newest item published by the request's time."""
        check_quota(quota)
        code = requests.context.get("geohash")
        if code is None or not len(self.cells):
            return Candidates.empty(len(requests))
        cell = code >> _BITS * (_FINEST - self.precision)
        row = torch.searchsorted(self.cells, cell).clamp_max(len(self.cells) - 1)
        row = torch.where(self.cells[row] == cell, row, -1)
        return recall_in_two_hops(
            replace(requests, user=row), quota, self._seeds, self._items, limit=quota, now=requests.time
        )

    def state(self) -> State:
        return State.of(**{name: getattr(self, name) for name in _STATE})

    @classmethod
    def from_state(cls, state: State) -> GeoHash:
        cells = state.tensor("cells", torch.int64, None, rising=True)
        item = state.tensor("item", torch.int64, None, least=0, below="items")
        return cls(
            cells,
            state.offsets("offsets", len(cells), len(item)),
            item,
            state.tensor("published", torch.int64, len(item)),
            state.fact("precision", Annotated[int, Field(ge=1, le=_FINEST)]),
        )


_STATE = ("cells", "offsets", "item", "published", "precision")


def geohash_codes(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.int64]:
    """int64 [n]: the GeoHash of 12 characters as a number, 5 bits a character; -1 where a coordinate is NaN.

    latitude, longitude: degrees [n]. Raises ValueError beyond -90 to 90, -180 to 180.
    """
    halves = []
    for name, degrees, most in (("latitude", latitude, 90.0), ("longitude", longitude, 180.0)):
        degrees = np.asarray(degrees, np.float64)
        if (np.abs(degrees) > most).any():
            raise ValueError(f"{name}: expected -{most:g} to {most:g}, got {degrees[np.abs(degrees) > most][0]}")
        halves.append(_spread(_slice_of(np.nan_to_num(degrees), most)))
    unknown = np.isnan(latitude) | np.isnan(longitude)
    return np.where(unknown, -1, halves[0] | halves[1] << 1)


def _slice_of(degrees: NDArray[np.float64], most: float) -> NDArray[np.int64]:
    """int64 [n]: which of the 2^30 equal slices of -most to most holds each; the upper end belongs to the last."""
    width = 2 * most / 2**30
    found = np.floor((degrees + most) / width)
    # Edges are exact in float64, the division is not.
    found -= degrees < found * width - most
    found += degrees >= (found + 1) * width - most
    return found.clip(0, 2**30 - 1).astype(np.int64)


def _spread(bits: NDArray[np.int64]) -> NDArray[np.int64]:
    """Moves bit i to bit 2i."""
    for shift, kept in ((16, 0x0000FFFF0000FFFF), (8, 0x00FF00FF00FF00FF), (4, 0x0F0F0F0F0F0F0F0F),
                        (2, 0x3333333333333333), (1, 0x5555555555555555)):  # fmt: skip
        bits = (bits | bits << shift) & kept
    return bits


def _placed(dataset: Dataset) -> NDArray[np.int64]:
    """The items whose coordinates are known."""
    latitude, longitude = dataset.catalogue.latitude, dataset.catalogue.longitude
    if latitude is None or longitude is None:
        return np.zeros(0, np.int64)
    return np.flatnonzero(~(np.isnan(latitude) | np.isnan(longitude)))


def _click_rates(build: Build, items: int) -> NDArray[np.float64]:
    """float64 [N]: each item's smoothed clicks a row of the logs, over the mean of all rows."""
    rows, clicked = np.zeros(items), np.zeros(items)
    for log in build.logs:
        rows += np.bincount(log.item, minlength=items)
        clicked += np.bincount(log.item, clicks(log), minlength=items)
    mean = clicked.sum() / max(rows.sum(), 1)
    return (clicked + _PRIOR * mean) / (rows + _PRIOR) / mean if mean else np.ones(items)
