"""A synthetic log with planted structure: what was planted is known, so that tests can ask for it back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from headrace.data.clock import DAY_MS, HOUR_MS, clock
from headrace.data.dataset import Catalogue, Dataset, InteractionLog, Jagged, RowReport, Users
from headrace.data.ids import IdMap
from headrace.data.world import CITIES, Categories, Floats, Ints, Truth, make_truth, normal, pick, power_law

#: The log runs for two weeks from Monday 1 January 2024, 00:00 UTC.
START_MS, PERIOD_DAYS = 1_704_067_200_000, 14
CLICK_RATE = 0.15
#: Shares of a user's exposures: by interest, by popularity, from the user's city; the rest is uniform. A member of a
#: circle is shown its items in place of BY_CIRCLE of them.
BY_INTEREST, BY_POPULARITY, BY_CITY, BY_CIRCLE = 0.6, 0.3, 0.05, 0.2
CONTENT_DIM = 64
_DEVICES, _AGES, _GENDERS = ["desktop", "phone", "tablet"], ["18-24", "25-34", "35-44", "45+", "<18"], ["f", "m"]
_HOURS = np.array([3, 2, 1, 1, 1, 1, 2, 4, 5, 5, 5, 6, 8, 7, 5, 5, 5, 6, 8, 10, 12, 13, 11, 7], np.float64)
#: How far users, and leaf categories, are apart in how readily a click becomes each of the following: the standard
#: deviations of its logarithm.
BY_USER, BY_LEAF = 0.7, 0.9
#: Of 1000 clicks, about how many also get each; the closer the item, the more.
_PER_CLICK = {"like": 90, "collect": 40, "share": 20, "follow": 10, "comment": 30}


@dataclass(frozen=True)
class Synthetic:
    """A synthetic dataset and the truth that it was drawn from."""

    dataset: Dataset
    truth: Truth


def generate(users: int = 20_000, items: int = 100_000, events: int = 2_000_000, seed: int = 0) -> Synthetic:
    """A log of `events` impressions over two weeks, the same for the same arguments.

    Items have two levels of category, one author (authors keep to a category), a city, keywords, a publish time
    (a fifth of them during the log; never shown before it), a duration, a noisy content vector of their latent one, and
    2 % are marked. Users have three interests, a city, and features that go with their taste. They come in sessions.
    What is shown follows popularity and interest, so the log is biased; a click is a draw from
    `Truth.click_probability`, and likes and the rest follow from a click. Small circles of users share odd items.
    A user sees an item once, unless there are too few items for that. Unclicked impressions have play time 0.

    Raises ValueError when users, items or events is below 1.
    """
    for name, value in (("users", users), ("items", items), ("events", events)):
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    worlds, things, people, shows, acts = (
        np.random.Generator(np.random.SFC64(part)) for part in np.random.SeedSequence(seed).spawn(5)
    )
    kinds = Categories.for_items(items)
    truth, author = make_truth(worlds, users, items, kinds)
    catalogue = _catalogue(things, truth, author, kinds)
    user, item, time = _exposures(shows, truth, catalogue, events)
    truth = replace(truth, bias=_bias(truth, user, item))
    log = _feedback(acts, truth, catalogue, user, item, time)
    device = pick(people, np.array([0.15, 0.75, 0.1]), users)
    log.context["device"] = device.take(log.user)
    dataset = Dataset(
        "synthetic", _users(people, truth), catalogue, log,
        rows=RowReport(events, events), context_names={"device": _DEVICES},
    )  # fmt: skip
    return Synthetic(dataset, truth)


def _catalogue(rng: np.random.Generator, truth: Truth, author: Ints, kinds: Categories) -> Catalogue:
    count = len(author)
    top, sub = np.divmod(truth.cluster, kinds.subs)
    code = top * (kinds.subs + 1)
    texts = [f"{t:02d}" + (f".{s - 1}" if s else "") for t in range(kinds.tops) for s in range(kinds.subs + 1)]
    age = rng.exponential(60, count)
    during: NDArray[np.bool_] = rng.random(count) < 0.2
    during[np.argmax(truth.popularity)] = False
    since = np.where(during, rng.random(count) * PERIOD_DAYS, -age)
    mix = normal(rng, truth.item_vector.shape[1], CONTENT_DIM) / np.float32(4)
    vector = truth.item_vector @ mix
    vector += np.float32(0.1) * normal(rng, count, CONTENT_DIM)
    return Catalogue(
        IdMap(np.arange(1_000_001, 1_000_001 + count)),
        author=author,
        category=Jagged(
            np.arange(0, 2 * count + 1, 2), np.stack([code + 1 + sub, code], 1).reshape(-1).astype(np.int32)
        ),
        keyword=_keywords(rng, truth.cluster),
        city=truth.item_city,
        publish_time=START_MS + (since * DAY_MS).astype(np.int64),
        duration_ms=np.exp(rng.normal(np.log(30_000), 0.8, count)).clip(3_000, 600_000).astype(np.int32),
        vector=vector,
        marked=rng.random(count) < 0.02,
        names={"category": texts},
    )


def _keywords(rng: np.random.Generator, cluster: Ints, vocabulary: int = 20) -> Jagged:
    """Two to five different words of the cluster's own vocabulary for each item."""
    counts = rng.integers(2, 6, len(cluster))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    place: NDArray[np.int64] = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
    first, step = rng.integers(0, vocabulary, len(cluster)), rng.choice([1, 3, 7, 9], len(cluster))
    word = (np.repeat(first, counts) + place * np.repeat(step, counts)) % vocabulary
    return Jagged(offsets, (np.repeat(cluster, counts) * vocabulary + word).astype(np.int32))


def _users(rng: np.random.Generator, truth: Truth) -> Users:
    count = len(truth.mood)
    # taste leans on two directions of the latent space, the features on the same two
    lean = truth.user_vector[:, :2] + np.float32(0.15) * normal(rng, count, 2)
    age = np.searchsorted([-0.25, -0.05, 0.15, 0.35], lean[:, 1]).astype(np.int32)
    features = {"gender": (lean[:, 0] > 0).astype(np.int32), "age": age, "city": truth.user_city}
    names = {"gender": _GENDERS, "age": _AGES, "city": [str(city) for city in range(CITIES)]}
    return Users(IdMap(np.arange(1, count + 1)), features, names)


class _Pool:
    """Draws items of a group by weight in constant time: each item owns slots in proportion, its group's in a row."""

    def __init__(self, group: Ints, groups: int, weight: NDArray[np.float64]) -> None:
        order = np.argsort(group, kind="stable").astype(np.int32)
        slots = np.ceil(weight[order] * (4 * len(order) / weight.sum())).astype(np.int64)
        self.table = np.repeat(order, slots)
        edges = np.concatenate([[0], np.cumsum(np.bincount(group[order], slots, groups))]).astype(np.int64)
        self.start, self.size = edges[:-1], np.diff(edges)
        # an empty group draws from all
        self.start[self.size == 0], self.size[self.size == 0] = 0, len(self.table)

    def draw(self, rng: np.random.Generator, group: NDArray[np.integer]) -> Ints:
        place = (rng.random(len(group)) * self.size.take(group)).astype(np.int64)
        place += self.start.take(group)
        return np.asarray(self.table.take(place), np.int32)


def _sessions(rng: np.random.Generator, users: int, count: int) -> tuple[Ints, NDArray[np.int64]]:
    """User and time of `count` candidate events: bursts of about ten, 1 s or more apart, in random order of user."""
    length = rng.geometric(0.1, count // 8 + 8)
    length[-1] += max(0, count - int(length.sum()))
    owner = np.repeat(np.arange(len(length)), length)[:count]
    user = pick(rng, power_law(rng, users, 0.6, 20.0), len(length))
    hour = pick(rng, _HOURS, len(length)) + rng.random(len(length))
    start = START_MS + rng.integers(0, PERIOD_DAYS, len(length)) * DAY_MS + (hour * HOUR_MS).astype(np.int64)
    passed = np.cumsum(1000 + (rng.standard_exponential(count, np.float32) * 15_000).astype(np.int64))
    first = np.minimum(np.cumsum(length) - length, count - 1)
    return user.take(owner), (start - passed[first]).take(owner) + passed


def _draw_items(rng: np.random.Generator, truth: Truth, user: Ints) -> Ints:
    source, taste = rng.random(len(user), np.float32), rng.random(len(user), np.float32)
    leaf = truth.interests[user, (taste > 0.55).astype(np.int8) + (taste > 0.85)]
    leaves = int(max(truth.cluster.max(), truth.interests.max())) + 1
    # softer than popularity, so that a cluster's tail is seen as well
    item = _Pool(truth.cluster, leaves, truth.popularity**0.6).draw(rng, leaf)
    popular = np.flatnonzero((source >= BY_INTEREST) & (source < BY_INTEREST + BY_POPULARITY))
    anything = np.zeros(len(truth.cluster), np.int32)
    item[popular] = _Pool(anything, 1, truth.popularity).draw(rng, np.zeros(len(popular), np.int32))
    rest = np.flatnonzero(source >= BY_INTEREST + BY_POPULARITY + BY_CITY)
    item[rest] = rng.integers(0, len(truth.cluster), len(rest), np.int32)
    near = np.flatnonzero((source >= BY_INTEREST + BY_POPULARITY) & (source < BY_INTEREST + BY_POPULARITY + BY_CITY))
    item[near] = _Pool(truth.item_city, CITIES, truth.popularity**0.6).draw(rng, truth.user_city[user[near]])
    odd = np.flatnonzero(truth.item_circle >= 0)
    if len(odd):
        member = np.flatnonzero(truth.user_circle[user] >= 0)
        member = member[rng.random(len(member)) < BY_CIRCLE]
        group = truth.item_circle[odd]
        shared = _Pool(group, int(truth.user_circle.max()) + 1, np.ones(len(odd)))
        item[member] = odd[shared.draw(rng, truth.user_circle[user[member]])]
    return item


def _exposures(
    rng: np.random.Generator, truth: Truth, catalogue: Catalogue, events: int
) -> tuple[Ints, Ints, NDArray[np.int64]]:
    """User, item and time of what was shown, session by session."""
    assert catalogue.publish_time is not None
    # a dense world draws many pairs twice and needs more to choose from
    for spare in (0.1, 0.6):
        user, time = _sessions(rng, len(truth.mood), events + int(spare * events) + 64)
        item = _draw_items(rng, truth, user)
        again = np.flatnonzero(catalogue.publish_time.take(item) > time)
        item[again] = _draw_items(rng, truth, user[again])
        early = catalogue.publish_time.take(item) > time
        worse = early * np.uint8(2) + _repeats(user, item, len(truth.cluster))
        if np.count_nonzero(worse == 0) >= events:
            break
    order = np.argsort(worse, kind="stable")[:events]
    user, item, time = user.take(order), item.take(order), time.take(order)
    # only a world with next to no items gets here with something left to replace
    item[early[order]] = np.argmin(catalogue.publish_time)
    return user, item, time


def _repeats(user: Ints, item: Ints, items: int) -> NDArray[np.uint8]:
    """uint8 [n]: 1 where an earlier candidate is the same pair (or, once in a thousand, shares its 31-bit hash)."""
    key = (user.astype(np.uint64) * np.uint64(items) + item.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    key >>= np.uint64(33)
    order = _order(key)
    ranked = key.take(order)
    out = np.zeros(len(user), np.uint8)
    out[order[1:][ranked[1:] == ranked[:-1]]] = 1
    return out


def _order(values: NDArray[np.integer]) -> NDArray[np.int64]:
    """Stable ascending order of values below 2^32: two passes of the radix sort that NumPy has for 16 bits."""
    order = np.argsort((values & values.dtype.type(0xFFFF)).astype(np.uint16), kind="stable")
    high = (values >> values.dtype.type(16)).astype(np.uint16)
    return order.take(np.argsort(high.take(order), kind="stable"))


def _bias(truth: Truth, user: Ints, item: Ints) -> float:
    """The constant that makes the mean click probability CLICK_RATE, by bisection on a sample of the exposures."""
    step = max(1, len(user) // 50_000)
    logit = truth.click_logit(user[::step], item[::step]).astype(np.float64)
    low, high = -30.0, 30.0
    for _ in range(30):
        middle = (low + high) / 2
        often = np.mean(1 / (1 + np.exp(-logit - middle))) > CLICK_RATE
        low, high = (low, middle) if often else (middle, high)
    return low


def _feedback(
    rng: np.random.Generator, truth: Truth, catalogue: Catalogue, user: Ints, item: Ints, time: NDArray[np.int64]
) -> InteractionLog:
    """What the users did with what they saw, in time order."""
    assert catalogue.duration_ms is not None
    count = len(user)
    probability = truth.click_probability(user, item)
    click = rng.random(count, np.float32) < probability
    order = _order(time - time.min())
    user, item, time, click = user.take(order), item.take(order), time.take(order), click.take(order)
    duration = catalogue.duration_ms.take(item)
    hit = np.flatnonzero(click)
    affinity = truth.affinity(user[hit], item[hit])
    signals = {"impression": np.ones(count, np.int8), "click": click.astype(np.int8)}
    warmth = np.exp(affinity)
    who, leaf = user[hit], truth.cluster.take(item[hit])
    for name, share in _PER_CLICK.items():
        ready = BY_USER * normal(rng, len(truth.mood))[who] + BY_LEAF * normal(rng, int(truth.cluster.max()) + 1)[leaf]
        chance = warmth * np.exp(ready)
        signals[name] = np.zeros(count, np.int8)
        signals[name][hit] = rng.random(len(hit), np.float32) * 1000 * chance.sum() < share * len(hit) * chance
    play = np.zeros(count, np.int32)
    play[hit] = _play(rng, affinity, duration[hit])
    signals["completion"] = (play.astype(np.int64) * 5 >= duration.astype(np.int64) * 4).astype(np.int8)
    return InteractionLog(user, item, time, signals, play, duration, clock(time))


def _play(rng: np.random.Generator, affinity: Floats, duration: Ints) -> Ints:
    """Milliseconds played: longer with affinity; a smaller part of a longer item; at most one and a half times it."""
    part = 1.2 * affinity - 0.5 * np.log(duration / np.float32(30_000)) - 0.8 + 0.8 * normal(rng, len(affinity))
    return np.asarray((np.minimum(np.exp(part), 1.5) * duration).clip(1), np.int32)
