"""The channels of categories and keywords that are not of `test_popular.py`: newest and popular items of each."""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.channels.newest_in_category import NewestInCategory
from headrace.channels.newest_in_keyword import NewestInKeyword
from headrace.channels.popular_in_category import PopularInCategory
from headrace.channels.popular_in_keyword import PopularInKeyword


def brute(small, log, users, catalogue, lists, quota, time):
    """What each user gets of the newest: {item: score}."""
    codes = [set(lists.values[a:b].tolist()) for a, b in pairwise(lists.offsets)]
    first = {}
    for i in range(len(log)):
        first.setdefault(int(log.item[i]), int(log.time[i]))
    when = [int(t) if t >= 0 else first.get(i, -1) for i, t in enumerate(catalogue.publish_time)]
    out = []
    for user in range(users):
        interest = {}
        for i in np.flatnonzero(log.user == user):
            for code in codes[log.item[i]]:
                interest[code] = interest.get(code, 0) + int(log.interest()[i])
        total, worth = sum(interest.values()), {}
        for code, mine in interest.items():
            items = [i for i in range(len(catalogue)) if code in codes[i] and when[i] <= time]
            items.sort(key=lambda i: (-when[i], i))
            for r, item in enumerate(items[: math.ceil(quota * mine / total)] if mine else []):
                worth[item] = worth.get(item, 0) + mine / total / (1 + r)
        out.append(worth)
    return out


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), quota=st.sampled_from([1, 4, 1000]), day=st.integers(-1, 10))
@pytest.mark.parametrize(("kind", "column"), [(NewestInCategory, "category"), (NewestInKeyword, "keyword")])
def test_newest_equals_brute_force(small, kind, column, seed, quota, day):
    log, catalogue = small.random_log(seed, rows=60), small.random_catalogue(seed)
    catalogue = dataclasses.replace(catalogue, keyword=small.random_catalogue(seed + 1, categories=9).category)
    channel = small.fit(kind, [log], 7, catalogue)
    found = small.lists(channel.recall(small.requests(range(7), day * small.DAY), quota))
    expected = brute(small, log, 7, catalogue, getattr(catalogue, column), quota, day * small.DAY)
    for mine, worth in zip(found, expected, strict=True):
        assert len(mine) == min(quota, len(worth))
        np.testing.assert_allclose([score for _, score in mine], [worth[item] for item, _ in mine], rtol=1e-6)
        rest = [score for item, score in worth.items() if item not in dict(mine)]
        assert all(score <= mine[-1][1] * (1 + 1e-6) for score in rest)


def test_popular_in_keyword_is_popular_in_category_of_another_column(small):
    log, catalogue = small.random_log(5), small.random_catalogue(5)
    both = dataclasses.replace(catalogue, keyword=catalogue.category)
    one, other = (
        small.lists(small.fit(kind, [log], 7, both).recall(small.requests(range(7)), 9))
        for kind in (PopularInCategory, PopularInKeyword)
    )
    assert one == other
    assert any(one)


@pytest.mark.parametrize("kind", [PopularInCategory, PopularInKeyword, NewestInCategory, NewestInKeyword])
def test_what_is_too_old_is_recalled_by_none(small, kind):
    catalogue = small.catalogue(3, category=[[0], [0], [0]], publish_time=[10, 95, -1])
    catalogue = dataclasses.replace(catalogue, keyword=catalogue.category)
    log = small.log([0, 0, 0], [0, 1, 2], [97, 98, 99], click=[1, 1, 1])
    for recall_ms, items in ((0, {0, 1, 2}), (10, {1, 2})):
        channel = kind.fit(small.build([log], 1, catalogue, recall_ms=recall_ms), kind.Settings())
        assert set(channel.recall(small.requests([0]), 9).item.tolist()) == items


@pytest.mark.parametrize(
    ("kind", "words"), [(NewestInKeyword, "keywords"), (PopularInKeyword, "keywords"), (NewestInCategory, "categories")]
)
def test_a_catalogue_without_the_column_has_no_such_channel(small, kind, words):
    expected = f"catalogue.{kind.column}: expected the {words} of some items, got none"
    empty = dataclasses.replace(small.catalogue(2, category=[[], []]), keyword=small.jagged([[], []]))
    for catalogue in (small.catalogue(2), empty):
        assert kind.needs(small.build([], 1, catalogue).dataset) == expected


def test_users_without_interest_and_items_without_codes(small):
    catalogue = small.catalogue(3, category=[[], [3], []], publish_time=[1, 2, 3])
    channel = small.fit(NewestInCategory, [small.log([0, 1], [0, 1], click=[1, 1])], 3, catalogue)
    assert channel.recall(small.requests([0, 1, 2]), 9).counts.tolist() == [0, 1, 0]
