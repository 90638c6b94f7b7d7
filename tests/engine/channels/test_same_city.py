import dataclasses

import numpy as np
import pytest
import torch

from headrace.channels.same_city import SameCity
from headrace.data import generate
from headrace.training.build import Build
from headrace.types import Requests


def world(small, city, lives, names=None, publish_time=None, recall_ms=0):
    catalogue = dataclasses.replace(
        small.catalogue(len(city), publish_time=publish_time or list(range(len(city)))),
        city=np.array(city, np.int32),
        names={} if names is None else {"city": names},
    )
    made = small.build([small.log([0], [0], [50], click=[1])], len(lives), catalogue, recall_ms=recall_ms)
    users = dataclasses.replace(
        made.dataset.users,
        features={"city": np.array(lives, np.int32)},
        names={"city": ["Rome", "Oslo", "Bonn"]} if names else {},
    )
    return dataclasses.replace(made, dataset=dataclasses.replace(made.dataset, users=users))


def items(channel, users, told=None, time=100):
    said = {} if told is None else {"same_city": channel.told(told)}
    user = torch.tensor(users)
    found = channel.recall(Requests(user, torch.full_like(user, time), told=said), 9)
    return [part.tolist() for part in found.item.split(found.counts.tolist())]


def test_newest_first_of_the_home_or_of_the_city_that_the_request_says(small):
    made = world(small, [0, 1, 0, -1, 1], [0, 1, 2, -1], names=["Oslo", "Rome"])
    channel = SameCity.fit(made, SameCity.Settings())
    # Nobody has an item in Bonn; codes of users and items are told apart by their words.
    assert items(channel, [0, 1, 2, 3, -1]) == [[4, 1], [2, 0], [], [], []]
    assert items(channel, [0, 0, 2, -1], ["Oslo", None, "Rome", "Rome"]) == [[2, 0], [4, 1], [4, 1], [4, 1]]
    assert items(channel, [0, 1], ["Bonn", "Atlantis"]) == [[], []]
    assert items(channel, [0], time=2) == [[1]]
    again = SameCity.from_state(channel.state())
    assert items(again, [0, 1], ["Oslo", None]) == items(channel, [0, 1], ["Oslo", None])


def test_cities_without_names_go_by_their_codes(small):
    channel = SameCity.fit(world(small, [2, 0], [2, 1, 0]), SameCity.Settings())
    assert items(channel, [0, 1, 2]) == [[0], [], [1]]
    assert items(channel, [1], ["2"]) == [[0]]
    with pytest.raises(ValueError, match="expected names of cities, got 2"):
        channel.told([None, 2])


def test_bad_items_and_old_ones_are_left_out(small):
    made = world(small, [0, 0, 0], [0], publish_time=[1, 45, 46], recall_ms=10)
    log = small.log([0] * 80, [1] * 40 + [2] * 40, [50] * 80, click=[0] * 40 + [1] * 40)
    made = dataclasses.replace(made, dataset=dataclasses.replace(made.dataset, log=log))
    assert items(SameCity.fit(made, SameCity.Settings()), [0]) == [[2]]
    assert items(SameCity.fit(made, SameCity.Settings(quality=0)), [0]) == [[2, 1]]


def test_a_catalogue_without_cities_has_no_such_channel(small):
    for city in (None, np.array([-1, -1], np.int32)):
        catalogue = dataclasses.replace(small.catalogue(2), city=city)
        words = SameCity.needs(small.build([], 1, catalogue).dataset)
        assert words == "catalogue.city: expected the city of some items, got none"
    users = small.build(
        [small.log([0], [0], click=[1])], 1, dataclasses.replace(small.catalogue(1), city=np.zeros(1, np.int32))
    )
    assert items(SameCity.fit(users, SameCity.Settings()), [0]) == [[]]


def test_in_a_synthetic_world_everybody_gets_what_is_new_at_home():
    made = generate(users=300, items=2_000, events=5_000, seed=4)
    channel = SameCity.fit(Build(made.dataset), SameCity.Settings())
    users = torch.arange(300)
    now = int(made.dataset.log.time[-1])
    found = channel.recall(Requests(users, torch.full_like(users, now)), 20)
    assert len(found) > 3000
    np.testing.assert_array_equal(made.truth.item_city[found.item], made.truth.user_city[found.request])
