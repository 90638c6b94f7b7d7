import math
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.channels.popular import Popular
from headrace.channels.popular_in_category import PopularInCategory
from headrace.channels.shared.history import UserHistory
from headrace.channels.shared.popularity import popularity


def brute_popularity(logs, items, half_life, day):
    now = max(int(log.time[-1]) for log in logs)
    parts = defaultdict(list)
    for log in logs:
        for i in range(len(log)):
            if log.signals["click"][i] == 1:
                parts[int(log.item[i])].append(0.5 ** ((now - int(log.time[i])) / (half_life * day)))
    return [math.fsum(parts[item]) for item in range(items)]


def brute_in_category(small, logs, users, catalogue, quota, half_life):
    clicks = brute_popularity(logs, len(catalogue), half_life, small.DAY)
    bounds, values = catalogue.category.offsets, catalogue.category.values
    of_item = [set(values[a:b].tolist()) for a, b in pairwise(bounds)]
    out = []
    for liked in small.likes(UserHistory.build(logs, users)):
        interest = defaultdict(int)
        for item, points in liked:
            for category in of_item[item]:
                interest[category] += points
        score = defaultdict(list)
        for category, mine in interest.items():
            members = [i for i in range(len(catalogue)) if category in of_item[i] and clicks[i] > 0]
            members.sort(key=lambda i: (-round(clicks[i], 12), i))
            share = mine / sum(interest.values())
            for i in members[: math.ceil(quota * mine / sum(interest.values()))]:
                score[i].append(share * clicks[i] / sum(clicks[j] for j in members))
        out.append({i: sum(parts) for i, parts in score.items()})
    return out


@settings(max_examples=40, deadline=None)
@example(seed=210981, half_life=7.0)
@given(seed=st.integers(0, 10**6), half_life=st.sampled_from([0.5, 7.0, math.inf]))
def test_popular_equals_brute_force(small, seed, half_life):
    logs = [small.random_log(seed), small.random_log(seed + 1, rows=31)]
    expected = brute_popularity(logs, 31, half_life, small.DAY)
    np.testing.assert_allclose(popularity(logs, 31, half_life), expected, rtol=1e-12)
    # An older history is known only in order: what is popular is of the log alone.
    expected = brute_popularity(logs[1:], 31, half_life, small.DAY)
    found = small.fit(Popular, logs, 8, 31, half_life_days=half_life).recall(small.requests([0, -1]), 20)
    assert small.lists(found)[0] == small.lists(found)[1]
    order = sorted((i for i in range(31) if expected[i] > 0), key=lambda i: (-round(expected[i], 12), i))
    assert [item for item, _ in small.lists(found)[0]] == order[:20]
    np.testing.assert_allclose([score for _, score in small.lists(found)[0]], [expected[i] for i in order[:20]], 1e-6)


def test_half_life_halves(small):
    log = small.log([0, 0, 0], [0, 0, 1], [0, 0, 7 * small.DAY], click=[1, 1, 1])
    [found] = small.lists(small.fit(Popular, [log], 1, 3, half_life_days=7).recall(small.requests([-1]), 9))
    assert found == [(0, 1.0), (1, 1.0)]


def test_clicks_of_long_ago_still_rank(small):
    log = small.log([0, 0, 0], [2, 1, 0], [0, 500 * small.DAY, 1000 * small.DAY], click=[1, 1, 1])
    [found] = small.lists(small.fit(Popular, [log], 1, 3, half_life_days=2).recall(small.requests([-1]), 9))
    assert [item for item, _ in found] == [0, 1, 2]


def test_a_log_without_clicks_counts_interest(small):
    log = small.log([0, 0, 0], [1, 1, 2], like=[1, 1, 1], share=[1, 0, 0])
    [found] = small.lists(small.fit(Popular, [log], 1, 3, half_life_days=math.inf).recall(small.requests([0]), 9))
    assert found == [(1, 2.0), (2, 1.0)]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), quota=st.sampled_from([1, 3, 10, 1000]), half_life=st.sampled_from([1.0, 7.0]))
def test_in_category_equals_brute_force(small, seed, quota, half_life):
    logs = [small.random_log(seed, rows=63), small.random_log(seed + 1, rows=31)]
    catalogue = small.random_catalogue(seed)
    channel = small.fit(PopularInCategory, logs, 8, catalogue, half_life_days=half_life)
    found = small.lists(channel.recall(small.requests(range(8)), quota))
    for mine, expected in zip(found, brute_in_category(small, logs, 8, catalogue, quota, half_life), strict=True):
        assert mine == sorted(mine, key=lambda pair: (-pair[1], pair[0]))
        assert len(mine) == min(quota, len(expected))
        np.testing.assert_allclose([score for _, score in mine], [expected[item] for item, _ in mine], rtol=1e-6)
        rest = [score for item, score in expected.items() if item not in dict(mine)]
        assert all(score <= mine[-1][1] * (1 + 1e-6) for score in rest)


def test_the_quota_is_shared_by_interest(small):
    catalogue = small.catalogue(8, category=[[0]] * 4 + [[1]] * 4)
    user, item = [0] * 4 + [1] * 8, [0, 1, 2, 4, *range(8)]
    channel = small.fit(PopularInCategory, [small.log(user, item, [0] * 12, click=[1] * 12)], 2, catalogue)
    [found] = small.lists(channel.recall(small.requests([0]), 4))
    assert [item for item, _ in found] == [0, 1, 2, 4]
    assert [score for _, score in found] == pytest.approx([0.75 * 2 / 7] * 3 + [0.25 * 2 / 5])


def test_an_item_of_two_categories_adds_up(small):
    catalogue = small.catalogue(3, category=[[0, 1], [0], [1, 1]])
    channel = small.fit(PopularInCategory, [small.log([0, 0, 0], [0, 1, 2], [0] * 3, click=[1] * 3)], 1, catalogue)
    [found] = small.lists(channel.recall(small.requests([0]), 9))
    share = {0: 2, 1: 3}  # item 2 names category 1 twice, and says it twice
    total = sum(share.values())
    assert found[0] == (0, pytest.approx(0.5))
    assert dict(found[1:]) == {1: pytest.approx(share[0] / total / 2), 2: pytest.approx(share[1] / total / 2)}


def test_a_catalogue_without_categories_has_no_such_channel(small):
    for catalogue in (small.catalogue(2), small.catalogue(2, category=[[], []])):
        words = PopularInCategory.needs(small.build([], 1, catalogue).dataset)
        assert words == "catalogue.category: expected the categories of some items, got none"
    assert PopularInCategory.needs(small.build([], 1, small.catalogue(2, category=[[], [0]])).dataset) is None


@pytest.mark.parametrize("half_life", [0, -1.0, math.nan])
def test_a_half_life_is_above_zero(half_life):
    with pytest.raises(ValueError, match="half_life_days: expected more than 0, got"):
        popularity([], 3, half_life)
    for kind in (Popular, PopularInCategory):
        with pytest.raises(ValueError, match=r"half_life_days\n.*greater than 0"):
            kind.Settings(half_life_days=half_life)
