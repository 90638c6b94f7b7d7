"""What holds for every channel there is."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from headrace.channels import CHANNELS
from headrace.state import State

USERS, ITEMS = 7, 31
#: Settings under which training takes no time.
QUICK = {"two_tower": {"dim": 4, "hidden": 4, "negatives": 8}, "matrix_completion": {"dim": 4, "epochs": 1}}


def build(small, seed):
    return small.build([small.random_log(seed)], USERS, small.random_catalogue(seed))


def fit(name, made):
    kind = CHANNELS[name]
    if lack := kind.needs(made.dataset):
        pytest.skip(f"the small world lacks {lack}")
    return kind.fit(made, kind.Settings(**QUICK.get(name, {})))


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
    requests = small.requests([3, -1, 0, 6])
    assert same(again.recall(requests, 10), channel.recall(requests, 10))
    assert same(type(channel).from_state(again.state()).recall(requests, 10), channel.recall(requests, 10))


@pytest.mark.parametrize("quota", [1, 5, 1000])
def test_batch_of_five_equals_five_singles(channel, small, quota):
    users = [4, -1, 0, 4, 6]
    whole = small.lists(channel.recall(small.requests(users), quota))
    assert whole == [small.lists(channel.recall(small.requests([user]), quota))[0] for user in users]


@pytest.mark.parametrize("quota", [1, 5, 1000])
def test_what_comes_back_is_sorted_distinct_and_within_the_quota(channel, small, quota):
    found = channel.recall(small.requests(range(USERS)), quota)
    assert (found.offsets.dtype, found.item.dtype, found.channels.dtype) == (torch.int64,) * 3
    assert found.score.dtype == torch.float32
    assert not found.channels.any()
    assert len(found) > 0
    for mine in small.lists(found):
        assert mine == sorted(mine, key=lambda pair: (-pair[1], pair[0]))
        assert len({item for item, _ in mine}) == len(mine) <= quota


def test_unknown_users_get_only_what_is_not_personal(channel, small):
    known, unknown = small.lists(channel.recall(small.requests([3, -1]), 5))
    assert unknown == ([] if channel.personalised else known)


def test_no_requests(channel, small):
    found = channel.recall(small.requests([]), 5)
    assert found.batch == 0
    assert found.offsets.tolist() == [0]


def test_a_quota_is_at_least_one(channel, small):
    with pytest.raises(ValueError, match="quota: expected at least 1, got 0"):
        channel.recall(small.requests([0]), 0)


def test_a_user_outside_the_table_is_an_error(channel, small):
    if channel.personalised:
        with pytest.raises(ValueError, match=r"user: expected rows from -1 to 6, got .*7"):
            channel.recall(small.requests([0, 7]), 5)
