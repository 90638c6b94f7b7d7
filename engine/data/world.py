"""The world behind a synthetic log: items, users and circles, and what each user really thinks of each item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.data.dataset import UNKNOWN

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
Places = NDArray[np.float64]

DIM, INTERESTS, CITIES = 16, 3, 40
#: Cities lie between 60 degrees south and north; what is in one, within some 5 km of its centre, and an author's items
#: within some 500 m of the author.
_LATITUDE, _CITY_DEGREES, _AUTHOR_DEGREES = 60.0, 0.05, 0.005
#: How much each thing moves the logit of a click: affinity (cosine), quality and mood (normal), same city, same circle.
AFFINITY, QUALITY, MOOD, LOCAL, CIRCLE = 4.0, 0.6, 0.5, 0.5, 4.5
_SLICE = 1 << 13


@dataclass(frozen=True)
class Truth:
    """What a synthetic log was drawn from, by dense row.

    user_vector, item_vector: float32 [U, 16], [I, 16], unit length. cluster: int32 [I], each item's leaf category.
    interests: int32 [U, 3], the clusters a user likes, best first. popularity: float64 [I], weight in popular
    exposures, sums to 1. quality: float32 [I]. mood: float32 [U], how readily a user clicks. user_city, item_city:
    int32. user_circle, item_circle: int32, the circle a user or an item belongs to, -1 for none. user_place,
    item_place: float64 [U, 2], [I, 2], latitude and longitude in degrees. bias: the constant of the click logit.
    """

    user_vector: Floats
    item_vector: Floats
    cluster: Ints
    interests: Ints
    popularity: NDArray[np.float64]
    quality: Floats
    mood: Floats
    user_city: Ints
    item_city: Ints
    user_circle: Ints
    item_circle: Ints
    user_place: Places
    item_place: Places
    bias: float = 0.0

    def affinity(self, users: NDArray[np.integer], items: NDArray[np.integer]) -> Floats:
        """float32 [n]: the cosine of each pair's vectors."""
        out = np.empty(len(users), np.float32)
        # a slice's gathered rows stay in cache
        for start in range(0, len(users), _SLICE):
            part = slice(start, start + _SLICE)
            user, item = self.user_vector.take(users[part], 0), self.item_vector.take(items[part], 0)
            np.einsum("nd,nd->n", user, item, out=out[part])
        return out

    def click_logit(self, users: NDArray[np.integer], items: NDArray[np.integer]) -> Floats:
        """float32 [n]: the log-odds of a click of each pair, once the item is shown."""
        circle = self.item_circle.take(items)
        logit = self.affinity(users, items)
        logit *= AFFINITY
        logit += np.float32(QUALITY) * self.quality.take(items)
        logit += np.float32(MOOD) * self.mood.take(users)
        logit += np.float32(LOCAL) * (self.user_city.take(users) == self.item_city.take(items))
        logit += np.float32(CIRCLE) * ((circle >= 0) & (circle == self.user_circle.take(users)))
        logit += np.float32(self.bias)
        return logit

    def click_probability(self, users: NDArray[np.integer], items: NDArray[np.integer]) -> Floats:
        """float32 [n]: the true P(click | shown) of each (user, item) pair of rows; the time plays no part."""
        chance: Floats = np.exp(-self.click_logit(users, items))
        chance += 1
        return np.reciprocal(chance, out=chance)


@dataclass(frozen=True)
class Categories:
    """Two levels: `tops` categories of `subs` leaves each. Leaf l belongs to category l // subs."""

    tops: int
    subs: int

    @staticmethod
    def for_items(items: int) -> Categories:
        """Around a thousand items in a leaf, fewer leaves in a small world."""
        tops = int(np.clip(round((items / 100) ** 0.5), 1, 12))
        return Categories(tops, int(np.clip(items // (50 * tops), 1, 8)))

    @property
    def leaves(self) -> int:
        return self.tops * self.subs


def unit(rows: NDArray[np.floating]) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def normal(rng: np.random.Generator, *shape: int) -> Floats:
    return rng.standard_normal(shape, np.float32)


def power_law(rng: np.random.Generator, count: int, exponent: float, shift: float) -> NDArray[np.float64]:
    """float64 [count] weights (rank + shift)^-exponent in random order, summing to 1."""
    weight = np.power(np.arange(count) + shift, -exponent)
    rng.shuffle(weight)
    return np.asarray(weight / weight.sum())


def pick(rng: np.random.Generator, weight: NDArray[np.float64], count: int) -> Ints:
    """int32 [count] draws of an index with probability `weight`."""
    edges = np.cumsum(weight)
    return np.asarray(np.searchsorted(edges[:-1], rng.random(count) * edges[-1], "right"), np.int32)


def make_truth(
    rng: np.random.Generator, places: np.random.Generator, users: int, items: int, kinds: Categories
) -> tuple[Truth, Ints]:
    """The truth of a world, its bias still 0, and each item's author (int32 [I]); an author keeps to one leaf.

    places: draws where everybody and everything is, within the cities that `rng` draws.
    """
    top = normal(rng, kinds.tops, DIM)
    centre = unit(np.repeat(top, kinds.subs, 0) + 0.8 * normal(rng, kinds.leaves, DIM))
    writers = max(1, items // 12)
    author = np.unique(pick(rng, power_law(rng, writers, 0.9, 10.0), items), return_inverse=True)[1].astype(np.int32)
    leaf_weight = power_law(rng, kinds.leaves, 0.4, 2.0)
    home = pick(rng, leaf_weight, writers)
    city_weight = power_law(rng, CITIES, 0.8, 2.0)
    style = unit(centre[home] + 0.12 * normal(rng, writers, DIM))
    cluster = home[author]
    quality = normal(rng, items)
    popularity = np.empty(items)
    # popular items tend to be good ones
    order = np.argsort(-(quality + 1.2 * normal(rng, items)), kind="stable")
    popularity[order] = (np.arange(items) + 10.0) ** -0.8
    interests = _interests(rng, users, leaf_weight, kinds)
    shares = np.array([0.7, 0.45, 0.3], np.float32)
    user_circle, item_circle = _circles(rng, users, popularity)
    user_vector = unit(np.einsum("k,ukd->ud", shares, centre[interests]) + 0.1 * normal(rng, users, DIM))
    item_vector = unit(style[author] + 0.12 * normal(rng, items, DIM))
    mood, user_city, author_city = normal(rng, users), pick(rng, city_weight, users), pick(rng, city_weight, writers)
    user_place, author_place = _places(places, user_city, author_city)
    truth = Truth(
        user_vector,
        item_vector,
        cluster,
        interests,
        popularity / popularity.sum(),
        quality,
        mood,
        user_city,
        author_city[author],
        user_circle,
        item_circle,
        user_place,
        _near(places, author_place[author], _AUTHOR_DEGREES),
    )
    return truth, author


def _places(rng: np.random.Generator, *cities: Ints) -> list[Places]:
    """Where the inhabitants of cities are, [n, 2] each."""
    centre = rng.uniform([-_LATITUDE, -180.0], [_LATITUDE, 180.0], (CITIES, 2))
    return [_near(rng, centre[city], _CITY_DEGREES) for city in cities]


def _near(rng: np.random.Generator, place: Places, degrees: float) -> Places:
    """Places within a normal distance of that deviation; longitudes go on across the date line."""
    near = place + degrees * rng.standard_normal(place.shape)
    near[:, 1] = (near[:, 1] + 180.0) % 360.0 - 180.0
    return np.asarray(near)


def _interests(rng: np.random.Generator, users: int, leaf_weight: NDArray[np.float64], kinds: Categories) -> Ints:
    """The first by the leaves' size, the second a sibling of it, the third anything."""
    first, third = pick(rng, leaf_weight, users), pick(rng, leaf_weight, users)
    sibling = first // kinds.subs * kinds.subs + rng.integers(0, kinds.subs, users, np.int32)
    return np.stack([first, sibling, third], 1).astype(np.int32)


def _circles(rng: np.random.Generator, users: int, popularity: NDArray[np.float64]) -> tuple[Ints, Ints]:
    """Circles of 5 to 20 users (6 % of all), each with 16 odd items: rare ones, of any cluster."""
    items, each = len(popularity), 16
    count = min(users * 6 // 100 // 12, items // (8 * each))
    user_circle, item_circle = np.full(users, UNKNOWN, np.int32), np.full(items, UNKNOWN, np.int32)
    if count == 0:
        return user_circle, item_circle
    sizes = rng.integers(5, 21, count)
    members = np.repeat(np.arange(count, dtype=np.int32), sizes)[:users]
    user_circle[rng.permutation(users)[: len(members)]] = members
    rare = np.argsort(popularity, kind="stable")[: items // 2]
    item_circle[rng.permutation(rare)[: count * each]] = np.repeat(np.arange(count, dtype=np.int32), each)
    return user_circle, item_circle
