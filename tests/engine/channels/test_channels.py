"""What holds for every channel there is."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from headrace.channels import CHANNELS, Remembering
from headrace.state import State
from headrace.types import Candidates, Requests

USERS, ITEMS = 7, 31
#: Settings under which training takes no time, and old items have a place.
QUICK = {
    "similar_authors": {"per_author": 10},
    "two_tower": {"dim": 4, "hidden": 4, "negatives": 8},
    "matrix_completion": {"dim": 4, "epochs": 1},
}


def build(small, seed):
    """A world with everything that some channel looks at."""
    random = np.random.default_rng(seed)
    catalogue = dataclasses.replace(
        small.random_catalogue(seed),
        keyword=small.jagged([random.choice(6, random.integers(0, 4), replace=False) for _ in range(ITEMS)]),
        city=random.integers(-1, 3, ITEMS).astype(np.int32),
        latitude=np.where(random.random(ITEMS) < 0.2, np.nan, 1.0),
        longitude=np.full(ITEMS, 2.0),
        vector=random.standard_normal((ITEMS, 5)).astype(np.float32),
    )
    made = small.build([small.random_log(seed, names=("click", "like", "share", "follow"))], USERS, catalogue)
    users = dataclasses.replace(made.dataset.users, features={"city": random.integers(0, 3, USERS).astype(np.int32)})
    return dataclasses.replace(made, dataset=dataclasses.replace(made.dataset, users=users))


def fit(name, made, **told):
    kind = CHANNELS[name]
    assert kind.needs(made.dataset) is None
    if name == "two_tower_i2i":
        made.channels["two_tower"] = fit("two_tower", made)
    fitted = kind.fit(made, kind.Settings(**QUICK.get(name, {}), **told))
    if isinstance(fitted, Remembering):
        requests = Requests(torch.arange(USERS), torch.full((USERS,), 100 * 86_400_000))
        item = (torch.arange(USERS)[:, None] + torch.arange(9)).flatten()
        ranked = Candidates(torch.arange(USERS + 1) * 9, item, (item % 5).float(), torch.zeros_like(item))
        fitted.served(requests, Candidates.empty(USERS), ranked)
    return fitted


def ask(small, channel, users):
    """Requests that say what the channel wants to hear."""
    requests = small.requests(users)
    if channel.context == "geohash":
        requests = dataclasses.replace(requests, told={channel.name: channel.told([(1.0, 2.0)] * len(users))})
    return requests


@pytest.fixture(params=CHANNELS)
def channel(request, small):
    return fit(request.param, build(small, 11))


def same(one, other):
    names = ("offsets", "item", "score", "channels")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


@pytest.mark.parametrize("name", CHANNELS)
def test_fits_read_only_arrays(small, name):
    made = build(small, 2)
    log, catalogue = made.dataset.log, made.dataset.catalogue
    columns = [getattr(one, field.name) for one in (log, catalogue) for field in dataclasses.fields(one)]
    columns += [*log.signals.values(), catalogue.category.offsets, catalogue.category.values]
    for column in columns:
        if isinstance(column, np.ndarray):
            column.setflags(write=False)
    fit(name, made)


def test_is_known_by_its_name(channel):
    assert CHANNELS[channel.name] is type(channel)


def test_recall_is_the_same_after_a_round_trip(channel, small):
    held = channel.state()
    state = State({name: tensor.clone() for name, tensor in held.tensors.items()}, json.loads(json.dumps(held.facts)))
    again = type(channel).from_state(state)
    requests = ask(small, channel, [3, -1, 0, 6])
    assert same(again.recall(requests, 10), channel.recall(requests, 10))
    assert same(type(channel).from_state(again.state()).recall(requests, 10), channel.recall(requests, 10))


@pytest.mark.parametrize("quota", [1, 5, 1000])
def test_batch_of_five_equals_five_singles(channel, small, quota):
    users = [4, -1, 0, 4, 6]
    whole = small.lists(channel.recall(ask(small, channel, users), quota))
    assert whole == [small.lists(channel.recall(ask(small, channel, [user]), quota))[0] for user in users]


@pytest.mark.parametrize("quota", [1, 5, 1000])
def test_what_comes_back_is_sorted_distinct_and_within_the_quota(channel, small, quota):
    found = channel.recall(ask(small, channel, range(USERS)), quota)
    assert (found.offsets.dtype, found.item.dtype, found.channels.dtype) == (torch.int64,) * 3
    assert found.score.dtype == torch.float32
    assert not found.channels.any()
    assert len(found) > 0
    for mine in small.lists(found):
        assert mine == sorted(mine, key=lambda pair: (-pair[1], pair[0]))
        assert len({item for item, _ in mine}) == len(mine) <= quota


def test_unknown_users_get_only_what_is_not_personal(channel, small):
    known, unknown = small.lists(channel.recall(ask(small, channel, [3, -1]), 5))
    assert unknown == ([] if channel.personalised else known)


def test_no_requests(channel, small):
    found = channel.recall(ask(small, channel, []), 5)
    assert found.batch == 0
    assert found.offsets.tolist() == [0]


def test_a_quota_is_at_least_one(channel, small):
    with pytest.raises(ValueError, match="quota: expected at least 1, got 0"):
        channel.recall(ask(small, channel, [0]), 0)


def test_a_user_outside_the_table_is_an_error(channel, small):
    if channel.personalised:
        with pytest.raises(ValueError, match=r"user: expected rows from -1 to 6, got .*7"):
            channel.recall(ask(small, channel, [0, 7]), 5)


# What the cache was told was ranked a moment ago.
@pytest.mark.parametrize("name", [name for name in CHANNELS if name != "cache"])
def test_what_is_too_old_at_the_end_of_the_log_is_recalled_by_none(small, name):
    made = build(small, 11)
    published = made.dataset.catalogue.publish_time
    limit = int(made.dataset.log.time[-1]) + 1 - 4 * small.DAY
    old = (published != -1) & (published < limit)
    assert 3 < old.sum() < ITEMS - 3
    whole, kept = (fit(name, dataclasses.replace(made, recall_ms=days * small.DAY)) for days in (0, 4))
    every = range(USERS)
    before, after = (one.recall(ask(small, one, every), 1000).item.numpy() for one in (whole, kept))
    assert old[before].any()
    assert not old[after].any()
    assert len(after)


def test_neighbours_are_others_most_alike_first(channel):
    found = channel.neighbours(torch.arange(ITEMS), 4)
    if found is None:
        return
    assert len(found) > 0
    assert found.batch == ITEMS
    assert int(found.counts.max()) <= 4
    assert bool((found.item != found.request).all())
    assert not found.channels.any()
    for mine in found.score.split(found.counts.tolist()):
        assert mine.tolist() == sorted(mine.tolist(), reverse=True)
    one = channel.neighbours(torch.tensor([5]), 2)
    assert one.item.tolist() == found.item[found.request == 5][:2].tolist()


#: What training draws, and what a click rate that is smoothed by a number of rows depends on.
COUNTED = [name for name in CHANNELS if name not in ("two_tower", "two_tower_i2i", "matrix_completion", "cache")]


# BM25, by which ItemCF finds neighbours, lets more points say less and less.
@pytest.mark.parametrize("name", [name for name in COUNTED if name not in ("geohash", "same_city")])
def test_every_event_twice_changes_no_list(small, name):
    made = build(small, 11)
    log = made.dataset.log.take(np.repeat(np.arange(len(made.dataset.log)), 2))
    twice = dataclasses.replace(made, dataset=made.dataset.with_log(log))
    told = {"similarity": "cosine"} if name == "itemcf" else {}
    one, other = (fit(name, world, **told) for world in (made, twice))
    before, after = (kind.recall(ask(small, kind, range(USERS)), 50) for kind in (one, other))
    assert torch.equal(before.offsets, after.offsets)
    assert torch.equal(before.item, after.item)


@pytest.mark.parametrize("name", COUNTED)
def test_a_log_in_which_nobody_likes_anything_brings_nothing_of_it(small, name):
    made = build(small, 11)
    log = dataclasses.replace(
        made.dataset.log, signals={name: np.zeros_like(column) for name, column in made.dataset.log.signals.items()}
    )
    world = dataclasses.replace(made, dataset=made.dataset.with_log(log))
    kind = CHANNELS[name]
    if kind.needs(world.dataset) is None:
        fitted = fit(name, world)
        found = fitted.recall(ask(small, fitted, range(USERS)), 50)
        # Places have what is new there, whoever likes it.
        assert (len(found) > 0) == (name in ("geohash", "same_city"))
