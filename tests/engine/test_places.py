"""Where a request is: contexts that channels read, whatever the log has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import TINY

from headrace.build import build
from headrace.data import generate
from headrace.serving import Engine
from headrace.settings import Settings

MADE = generate(users=40, items=400, events=2_500, seed=1)
NAMES = ("same_city", "geohash")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder: Path = tmp_path_factory.mktemp("places") / "snapshot"
    told = TINY.model_dump(mode="json")
    told["channels"] |= {"same_city": {"quota": 20}, "geohash": {"quota": 20, "precision": 3}}
    build(MADE.dataset, Settings.model_validate(told), folder)
    return Engine.load(folder)


def cities(engine: Engine, name: str, context: dict[str, Sequence[Any]], users: Sequence[int]) -> list[set[int]]:
    """The cities of what the channel `name` found for each user."""
    pages = engine.recommend(users, 60, context=context)
    found = [[item for item, by in zip(page.items, page.channels, strict=True) if name in by] for page in pages]
    return [set(MADE.truth.item_city[engine.items.rows(items)].tolist()) if items else set() for items in found]


def test_a_city_that_is_said_goes_before_the_users_own(engine: Engine) -> None:
    often = np.bincount(MADE.truth.item_city, minlength=40)
    city = int(often.argmax())
    home = MADE.truth.user_city[:3].tolist()
    said = cities(engine, "same_city", {"city": [str(city), None, "nowhere"]}, [1, 2, 3])
    assert said[0] == {city}
    assert said[1] == ({home[1]} if often[home[1]] else set())
    assert said[2] == set()
    assert cities(engine, "same_city", {"city": [str(city)]}, [999_999]) == [{city}]


def test_a_place_that_is_said_has_the_items_near_it(engine: Engine) -> None:
    latitude, longitude = MADE.truth.item_place[7]
    assert MADE.truth.item_city[7] in cities(engine, "geohash", {"geohash": [(latitude, longitude), None]}, [1, 2])[0]
    assert cities(engine, "geohash", {}, [1]) == [set()]


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ({"geohash": [(91.0, 0.0)]}, r"context\['geohash'\]: latitude: expected -90 to 90, got 91"),
        ({"geohash": ["6g"]}, r"context\['geohash'\]: expected GeoHash codes of at least 3 characters, got '6g'"),
        ({"geohash": ["6g6", "6g6"]}, r"context\['geohash'\]: expected 1 values, one a user, got 2"),
        ({"city": [3]}, r"context\['city'\]: expected names of cities, got 3"),
        ({"town": ["3"]}, r"context: expected names of .*city.*, got str 'town'"),
    ],
)
def test_what_cannot_be_meant_is_refused(engine: Engine, context: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        engine.recommend([1], context=context)
