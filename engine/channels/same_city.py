"""Same city: the latest good items of a city, the same for everybody there."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from headrace.channels import Channel, ChannelSettings, channel
from headrace.channels.shared.newest_at import NewestAt
from headrace.data import UNKNOWN, Dataset
from headrace.state import State
from headrace.training.build import Build
from headrace.types import Candidates, Requests


@channel
class SameCity(Channel):
    """Recall by city: a request's city -> the city's items, newest first.

    A request says its city by the context "city", in the catalogue's words; one that doesn't is in its user's city, the
    feature "city" of the users, where they have one. home: int64 [U], the city of each user, -1 unknown. cities: the
    words of the catalogue's cities. newest: the good items of each.
    """

    name = "same_city"
    personalised = True
    context = "city"

    class Settings(ChannelSettings):
        """The latest good items of the request's city."""

        quality: float = Field(
            default=0.5,
            ge=0,
            description="least click rate of an item, over the mean of all; smoothed so that a new one has 1; 0: any",
        )

    def __init__(self, home: Tensor, cities: list[str], newest: NewestAt) -> None:
        self.home, self.cities, self.newest = home, cities, newest
        self._row_of = {city: row for row, city in enumerate(cities)}

    @classmethod
    def needs(cls, dataset: Dataset) -> str | None:
        city = dataset.catalogue.city
        known = city is not None and bool((city != UNKNOWN).any())
        return None if known else "catalogue.city: expected the city of some items, got none"

    @classmethod
    def fit(cls, build: Build, settings: Settings) -> SameCity:
        """Index the good items of each city by publish time (see `publish_times`)."""
        catalogue, users = build.dataset.catalogue, build.dataset.users
        assert catalogue.city is not None
        item = np.flatnonzero(catalogue.city != UNKNOWN)
        cities = _words(catalogue.names.get("city"), int(catalogue.city.max()) + 1)
        newest = NewestAt.of(build, item, catalogue.city[item], len(cities), settings.quality)
        home = np.full(len(users), UNKNOWN, np.int64)
        if (lives := users.features.get("city")) is not None and len(lives):
            words, row_of = _words(users.names.get("city"), int(lives.max()) + 1), {c: r for r, c in enumerate(cities)}
            rows = np.array([row_of.get(word, UNKNOWN) for word in words] + [UNKNOWN], np.int64)
            home = rows[lives]  # the last for those of no known city
        return cls(torch.from_numpy(home), cities, newest)

    def told(self, values: list[Any]) -> Tensor:
        """int64 [B], rows of `cities`; a city that no item is of is unknown, and has nothing. Raises ValueError for
        what is no text."""
        for one in values:
            if one is not None and not isinstance(one, str):
                raise ValueError(f"expected names of cities, got {one!r:.40}")
        # Who says a city that nobody is in isn't at home either.
        elsewhere = len(self.cities)
        rows = [UNKNOWN if one is None else self._row_of.get(one, elsewhere) for one in values]
        return torch.tensor(rows, dtype=torch.int64)

    def recall(self, requests: Requests, quota: int) -> Candidates:
        """score = 1 / (1 + r), r = 0 for the city's newest item published by the request's time.

        Raises ValueError for a quota below 1 or a user row outside the table.
        """
        user = requests.user
        if len(user) and not -1 <= int(user.min()) <= int(user.max()) < len(self.home):
            raise ValueError(f"user: expected rows from -1 to {len(self.home) - 1}, got {user.tolist()[:8]}")
        city = torch.where(user < 0, UNKNOWN, self.home[user.clamp_min(0)]) if len(self.home) else user
        told = requests.told.get(self.name)
        if told is not None:
            city = torch.where(told < 0, city, told)
        return self.newest.recall(requests, torch.where(city < len(self.cities), city, UNKNOWN), quota)

    def state(self) -> State:
        newest = self.newest.state()
        return State({"home": self.home, **newest.tensors}, {"cities": self.cities})

    @classmethod
    def from_state(cls, state: State) -> SameCity:
        cities = state.fact("cities", list[str])
        home = state.tensor("home", torch.int64, "users", least=-1, below=max(len(cities), 1))
        return cls(home, cities, NewestAt.from_state(state, len(cities)))


def _words(texts: list[str] | None, codes: int) -> list[str]:
    """What each code is called; a code without a text by its number."""
    given = (texts or [])[:codes]
    return given + [str(code) for code in range(len(given), codes)]
