"""GeoHash: the latest good items of the place that a request comes from, the same for everybody there."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from headrace.channels import Channel, ChannelSettings, channel
from headrace.channels.shared.newest_at import NewestAt
from headrace.channels.shared.two_hop import check_quota
from headrace.data import UNKNOWN, Dataset
from headrace.state import State
from headrace.training.build import Build
from headrace.types import Candidates, Requests

#: Characters of the finest code, and the bits of one.
_FINEST, _BITS = 12, 5
_LETTERS = b"0123456789bcdefghjkmnpqrstuvwxyz"


@channel
class GeoHash(Channel):
    """Recall by GeoHash (Niemeyer 2008): a request's cell -> the cell's items, newest first.

    A request says where it is by the context "geohash": a code of `precision` characters or more, or (latitude,
    longitude) in degrees. One that doesn't gets none.
    cells: int64 [C] ascending, the first `precision` characters of their codes. newest: the good items of each.
    """

    name = "geohash"
    personalised = False
    context = "geohash"

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

    def __init__(self, cells: Tensor, newest: NewestAt, precision: int) -> None:
        self.cells, self.newest, self.precision = cells, newest, precision

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
        codes = geohash_codes(catalogue.latitude[item], catalogue.longitude[item])
        cells, cell = np.unique(codes >> _BITS * (_FINEST - settings.precision), return_inverse=True)
        newest = NewestAt.of(build, item, cell, len(cells), settings.quality)
        return cls(torch.from_numpy(cells), newest, settings.precision)

    def told(self, values: list[Any]) -> Tensor:
        """int64 [B], codes of 12 characters. Raises ValueError for what is no place."""
        words = np.array([isinstance(one, str) for one in values], np.bool_)
        found = np.full(len(values), UNKNOWN, np.int64)
        found[words] = _codes_of([one for one in values if isinstance(one, str)], self.precision)
        given = [place for place, one in enumerate(values) if one is not None and not words[place]]
        try:
            degrees = np.array([values[place] for place in given], np.float64).reshape(len(given), 2)
        except (TypeError, ValueError):
            raise ValueError("expected GeoHash codes, or pairs of latitude and longitude, got another value") from None
        found[given] = geohash_codes(degrees[:, 0], degrees[:, 1])
        return torch.from_numpy(found)

    def recall(self, requests: Requests, quota: int) -> Candidates:
        """score = 1 / (1 + r), r = 0 for the cell's newest item published by the request's time."""
        check_quota(quota)
        code = requests.told.get(self.name)
        if code is None or not len(self.cells):
            return Candidates.empty(len(requests))
        cell = code >> _BITS * (_FINEST - self.precision)
        row = torch.searchsorted(self.cells, cell).clamp_max(len(self.cells) - 1)
        return self.newest.recall(requests, torch.where(self.cells[row] == cell, row, UNKNOWN), quota)

    def state(self) -> State:
        newest = self.newest.state()
        return State({"cells": self.cells, **newest.tensors}, {"precision": self.precision})

    @classmethod
    def from_state(cls, state: State) -> GeoHash:
        cells = state.tensor("cells", torch.int64, None, rising=True)
        precision = state.fact("precision", Annotated[int, Field(ge=1, le=_FINEST)])
        return cls(cells, NewestAt.from_state(state, len(cells)), precision)


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


def _codes_of(words: list[str], precision: int) -> NDArray[np.int64]:
    """int64 [n]: codes of at least `precision` characters as numbers; what they leave open is 0."""
    for word in words:
        if len(word) < precision:
            raise ValueError(f"expected GeoHash codes of at least {precision} characters, got {word!r:.40}")
    text = np.array([word[:_FINEST].lower().encode("ascii", "replace") for word in words], f"S{_FINEST}")
    letters = text.view(np.uint8).reshape(len(words), _FINEST)
    digits = np.where(letters == 0, 0, _DIGITS[letters])
    if (wrong := (digits < 0).any(1)).any():
        raise ValueError(
            f"expected GeoHash codes, of 0 to 9 and b to z without i, l, o, got {words[wrong.argmax()]!r:.40}"
        )
    code: NDArray[np.int64] = (digits << _BITS * np.arange(_FINEST)[::-1]).sum(1)
    return code


_DIGITS = np.full(256, -1, np.int64)
_DIGITS[np.frombuffer(_LETTERS, np.uint8)] = np.arange(len(_LETTERS))
