"""GeoHash: codes against halving the map step by step, and recall against a walk over all items."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.channels.geohash import GeoHash, geohash_codes
from headrace.state import State
from headrace.types import Requests

LETTERS = "0123456789bcdefghjkmnpqrstuvwxyz"


def text_of(code, length=12):
    return "".join(LETTERS[code >> 5 * (11 - place) & 31] for place in range(length))


def halved(latitude, longitude):
    """The code of 12 characters, bit by bit."""
    bounds, point, bits = [[-180.0, 180.0], [-90.0, 90.0]], (longitude, latitude), 0
    for place in range(60):
        low, high = bounds[place % 2]
        middle = (low + high) / 2
        upper = point[place % 2] >= middle
        bounds[place % 2] = [middle, high] if upper else [low, middle]
        bits = bits << 1 | upper
    return bits


def world(small, seed, items=61):
    """A few cells with many items, some of unknown place."""
    random = np.random.default_rng(seed)
    places = random.uniform(-0.01, 0.01, (2, items)).round(3)
    places[:, random.random(items) < 0.2] = np.nan
    catalogue = dataclasses.replace(small.random_catalogue(seed, items), latitude=places[0], longitude=places[1])
    return small.build([small.random_log(seed, items=items, rows=900)], 7, catalogue)


def requests_at(codes, time):
    user = torch.full((len(codes),), -1)
    return Requests(user, torch.full_like(user, time), told={"geohash": torch.tensor(codes)})


def brute(made, code, precision, quality, quota, time):
    log, catalogue = made.dataset.log, made.dataset.catalogue
    clicked = log.signals["click"] == 1
    mean = clicked.mean()
    found = []
    for item in range(len(catalogue)):
        rows = log.item == item
        rate = (clicked[rows].sum() + 20 * mean) / (rows.sum() + 20) / mean
        place = catalogue.latitude[item], catalogue.longitude[item]
        published = int(catalogue.publish_time[item])
        if published < 0:
            published = int(log.time[rows].min()) if rows.any() else -1
        near = not np.isnan(place).any() and text_of(halved(*place), precision) == text_of(code, precision)
        if near and rate >= quality and published <= time:
            found.append((-published, item))
    return [(item, float(np.float32(1 / (1 + r)))) for r, (_, item) in enumerate(sorted(found)[:quota])]


@pytest.mark.parametrize(
    ("text", "latitude", "longitude"),
    [
        ("6g6vvf", (-25.697021, -25.691528), (-52.130127, -52.119141)),
        ("6fh4mc", (-33.348999, -33.343506), (-50.372314, -50.361328)),
    ],
)
def test_codes_of_the_slides(text, latitude, longitude):
    inside = geohash_codes(np.linspace(*latitude, 9)[1:-1], np.linspace(*longitude, 9)[1:-1])
    assert {text_of(code, 6) for code in inside.tolist()} == {text}
    outside = geohash_codes(np.array([latitude[0] - 1e-5, latitude[1] + 1e-5]), np.array([longitude[0]] * 2) + 1e-3)
    assert text not in {text_of(code, 6) for code in outside.tolist()}


@settings(max_examples=200, deadline=None)
@given(
    latitude=st.floats(-90, 90) | st.integers(-(2**12), 2**12).map(lambda n: 90 * n / 2**12),
    longitude=st.floats(-180, 180) | st.integers(-(2**12), 2**12).map(lambda n: 180 * n / 2**12),
)
def test_codes_equal_halving(latitude, longitude):
    assert geohash_codes(np.array([latitude]), np.array([longitude])).tolist() == [halved(latitude, longitude)]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    precision=st.integers(4, 8),
    quality=st.sampled_from([0.0, 0.9, 1.0]),
    quota=st.sampled_from([1, 4, 100]),
    day=st.integers(-1, 10),
)
def test_recall_equals_brute_force(small, seed, precision, quality, quota, day):
    made = world(small, seed)
    channel = GeoHash.fit(made, GeoHash.Settings(precision=precision, quality=quality))
    place = np.random.default_rng(seed + 1).uniform(-0.01, 0.01, (2, 8)).round(3)
    codes = geohash_codes(*place).tolist()
    found = small.lists(channel.recall(requests_at(codes, day * small.DAY), quota))
    assert found == [brute(made, code, precision, quality, quota, day * small.DAY) for code in codes]


def test_an_unknown_place_gets_none(small):
    channel = GeoHash.fit(world(small, 3), GeoHash.Settings(precision=1))
    code = int(geohash_codes(np.array([0.001]), np.array([0.001]))[0])
    found = channel.recall(requests_at([-1, code, int(geohash_codes(np.array([80.0]), np.array([9.0]))[0])], 10**12), 5)
    assert found.counts.tolist() == [0, 5, 0]
    assert channel.recall(small.requests([0, -1]), 5).counts.tolist() == [0, 0]
    assert geohash_codes(np.array([np.nan]), np.array([1.0])).tolist() == [-1]
    again = GeoHash.from_state(State(channel.state().tensors, channel.state().facts))
    assert torch.equal(
        again.recall(requests_at([code], 10**12), 9).item, channel.recall(requests_at([code], 10**12), 9).item
    )
    with pytest.raises(ValueError, match="quota: expected at least 1, got 0"):
        channel.recall(requests_at([code], 0), 0)


def test_a_new_item_is_good_enough_and_a_disliked_one_is_not(small):
    catalogue = dataclasses.replace(
        small.catalogue(3, publish_time=[3, 2, 1]), latitude=np.zeros(3), longitude=np.zeros(3)
    )
    log = small.log([0] * 80, [1] * 40 + [2] * 40, click=[0] * 40 + [1] * 40)
    channel = small.fit(GeoHash, [log], 1, catalogue)
    found = channel.recall(requests_at([int(geohash_codes(np.zeros(1), np.zeros(1))[0])], 100), 9)
    assert found.item.tolist() == [0, 2]


def test_a_catalogue_without_coordinates_has_no_such_channel(small):
    nowhere = dataclasses.replace(
        small.catalogue(2), latitude=np.array([1.0, np.nan]), longitude=np.array([np.nan, 1.0])
    )
    for catalogue in (small.catalogue(2), nowhere):
        words = GeoHash.needs(small.build([], 1, catalogue).dataset)
        assert words == "catalogue.latitude, longitude: expected the coordinates of some items, got none"
    with pytest.raises(ValueError, match=r"latitude: expected -90 to 90, got 90\.5"):
        geohash_codes(np.array([90.5]), np.array([0.0]))


def test_what_a_request_may_say():
    channel = GeoHash.from_state(
        State.of(cells=torch.tensor([3]), offsets=torch.tensor([0, 0]), item=torch.tensor([], dtype=torch.int64),
                 published=torch.tensor([], dtype=torch.int64), precision=6)
    )  # fmt: skip
    told = channel.told(["6g6vvf", "6G6VVFZZ0", None, (-25.6957, -52.1245), [90.0, 180.0]])
    assert [text_of(code, 6) if code >= 0 else None for code in told.tolist()] == ["6g6vvf"] * 2 + [
        None,
        "6g6vvf",
        "zzzzzz",
    ]
    assert channel.told([]).tolist() == []
    for wrong, words in (
        ("6g6vv", "GeoHash codes of at least 6 characters, got '6g6vv'"),
        ("6g6vva", "GeoHash codes, of 0 to 9 and b to z without i, l, o, got '6g6vva'"),
        ("caf\u00e9bc", "GeoHash codes, of 0 to 9"),
        ((91.0, 0.0), "latitude: expected -90 to 90, got 91"),
        ((0.0, -180.5), "longitude: expected -180 to 180, got -180.5"),
        (7, "expected GeoHash codes, or pairs of latitude and longitude, got another value"),
        ((1.0, 2.0, 3.0), "expected GeoHash codes, or pairs"),
    ):
        with pytest.raises(ValueError, match=words):
            channel.told([None, wrong])
