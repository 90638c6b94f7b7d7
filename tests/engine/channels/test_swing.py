"""Swing: its similarities against a brute force over pairs of users, and the vectors of the slides."""

from collections import defaultdict
from fractions import Fraction
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.channels.swing import Swing


def log_of(small, likes):
    """A log in which each user clicks these items, one after another."""
    rows = [(user, item) for user, mine in enumerate(likes) for item in mine]
    return small.log([user for user, _ in rows], [item for _, item in rows], click=[1] * len(rows))


def brute(history, items, neighbours, alpha, audience):
    """Exact rational sums over ordered pairs of users, from each user's [(item, time), ...]."""
    fans = defaultdict(list)
    for user, mine in enumerate(history):
        for item, time in mine:
            fans[item].append((-time, user))
    fans = {item: {user for _, user in sorted(all_)[:audience]} for item, all_ in fans.items()}
    liked = [{item for item, users in fans.items() if user in users} for user in range(len(history))]
    table = []
    for a in range(items):
        row = []
        for b in range(items):
            common = fans.get(a, set()) & fans.get(b, set())
            total = sum(Fraction(1) / (alpha + len(liked[u] & liked[v])) for u, v in permutations(common, 2))
            if a != b and total:
                row.append((total, b))
        row.sort(key=lambda pair: (-pair[0], pair[1]))
        table.append([(b, float(total)) for total, b in row[:neighbours]])
    return table


def times_of(history):
    pairs = list(zip(history.item.tolist(), history.time.tolist(), strict=True))
    return [pairs[a:b] for a, b in pairwise(history.offsets.tolist())]


def test_pairs_of_the_slides(small):
    # The slides' double sum has each user with himself too, which adds 1/5 + 1/5 + 1/4 here.
    log = log_of(small, [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 4]])
    [(item, similarity), *_] = small.neighbours(small.fit(Swing, [log], 3, 5))[0]
    assert item == 1
    assert similarity == pytest.approx(1.733333, abs=1e-6)
    assert similarity + 1 / 5 + 1 / 5 + 1 / 4 == pytest.approx(2.383333, abs=1e-6)


def test_a_circle_counts_for_less_than_strangers(small):
    circle = log_of(small, [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]])
    strangers = log_of(small, [[0, 1, 2, 3], [0, 1, 4, 5]])
    alike = [dict(small.neighbours(small.fit(Swing, [log], 2, 6))[0])[1] for log in (circle, strangers)]
    assert alike == [pytest.approx(2 / 7), pytest.approx(2 / 3)]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    neighbours=st.sampled_from([1, 3, 100]),
    last=st.sampled_from([2, 5, 200]),
    audience=st.sampled_from([2, 3, 200]),
    alpha=st.sampled_from([0.5, 1.0, 7.0]),
)
def test_neighbours_equal_brute_force(small, seed, neighbours, last, audience, alpha):
    told = {"neighbours": neighbours, "last": last, "audience": audience, "alpha": alpha}
    channel = small.fit(Swing, [small.random_log(seed, users=9, items=17, rows=150)], 9, 17, **told)
    expected = brute(times_of(channel.history), 17, neighbours, Fraction(alpha), audience)
    found = small.neighbours(channel)
    assert [[item for item, _ in row] for row in found] == [[item for item, _ in row] for row in expected]
    # 40 bits of the sum are kept, and 24 in float32.
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose([x for _, x in mine], [x for _, x in theirs], rtol=2**-24 + 2**-39)


@pytest.mark.parametrize("k", [1, 3, 100])
def test_lists_are_filled_with_what_may_be_recalled(small, k):
    log, days = small.random_log(3, users=9, items=17, rows=150), np.arange(17) % 3 * small.DAY * 4
    made = small.build([log], 9, small.catalogue(17, publish_time=days), recall_ms=5 * small.DAY)
    old = days < log.time[-1] + 1 - 5 * small.DAY
    assert 0 < old.sum() < 17
    channel = Swing.fit(made, Swing.Settings(neighbours=k))
    whole = small.neighbours(small.fit(Swing, [log], 9, 17, neighbours=17))
    assert small.neighbours(channel) == [[one for one in row if not old[one[0]]][:k] for row in whole]


def test_score_is_the_sum_over_the_users_items(small):
    log = log_of(small, [[0, 1, 2], [0, 1, 2], [0]])
    [found] = small.lists(small.fit(Swing, [log], 3, 3, fading=0).recall(small.requests([2]), 9))
    assert found == [(1, 0.5), (2, 0.5)]


def test_no_rows_and_one_user(small):
    assert small.neighbours(small.fit(Swing, [], 2, 3)) == [[], [], []]
    assert small.neighbours(small.fit(Swing, [log_of(small, [[0, 1, 2]])], 1, 3)) == [[], [], []]
