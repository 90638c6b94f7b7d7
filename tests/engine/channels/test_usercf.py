"""UserCF: its similarities and lists against a brute force, and the vectors of the slides."""

import math

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from headrace.channels.shared.history import UserHistory, user_history
from headrace.channels.usercf import UserCF
from headrace.similarity.neighbours import nearest_users


def by_hand(similar, likes):
    """User 0 with these similar users (1, 2, ...), of whom each likes these (item, points)."""
    lists = [[], *likes]
    history = UserHistory(
        torch.tensor(np.cumsum([0, *map(len, lists)])),
        torch.tensor([item for mine in lists for item, _ in mine]),
        torch.tensor([float(points) for mine in lists for _, points in mine]),
        torch.zeros(sum(map(len, lists)), dtype=torch.int64),
    )
    offsets = torch.tensor([0, *[len(similar)] * len(lists)])
    return UserCF(history, offsets, torch.arange(1, len(similar) + 1), torch.tensor(similar))


@pytest.mark.parametrize(
    ("similar", "points", "expected"),
    [((0.9, 0.7, 0.7, 0.4), (0, 1, 3, 0), 2.8), ((0.9, 0.5, 0.5, 0.3), (0, 4, 2, 0), 3.0)],
)
def test_scores_of_the_slides(small, similar, points, expected):
    channel = by_hand(similar, [[(7, p)] if p else [] for p in points])
    assert small.lists(channel.recall(small.requests([0]), 100)) == [[(7, pytest.approx(expected, rel=1e-6))]]


def test_diagram_of_the_slides(small):
    red, brown, grey, orange, yellow, dark, green, blue = range(8)
    likes = [
        [(red, 1), (brown, 3)],
        [(grey, 4), (orange, 1)],
        [(yellow, 3), (dark, 3)],
        [(orange, 1), (green, 2)],
        [(red, 4), (blue, 4)],
    ]
    [found] = small.lists(by_hand((0.7, 0.6, 0.6, 0.3, 0.3), likes).recall(small.requests([0]), 100))
    assert [item for item, _ in found] == [grey, brown, red, yellow, dark, blue, orange, green]
    assert [score for _, score in found] == pytest.approx([2.4, 2.1, 1.9, 1.8, 1.8, 1.2, 0.9, 0.6], rel=1e-6)


def test_discount_of_the_slides():
    # Users 0 and 1 share items 1 and 2, which 9 and 99 users like.
    likes = np.zeros((107, 4))
    likes[0, :3] = likes[1, 1:] = 1
    likes[2:9, 1] = likes[2:99, 2] = 1
    for discount, expected in ((False, 2 / 3), (True, 0.217147)):
        offsets, user, similarity = nearest_users(csr_array(likes), 200, discount)
        mine = dict(zip(user[: offsets[1]].tolist(), similarity[: offsets[1]].tolist(), strict=True))
        assert mine[1] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("discount", [False, True])
@pytest.mark.parametrize(("audience", "last"), [(200, 200), (3, 200), (200, 4)])
def test_neighbours_and_lists_equal_a_brute_force(small, discount, audience, last):
    log = small.random_log(6, users=13, items=17, rows=150)
    told = {"audience": audience, "last": last, "discount": discount, "fading": 0, "neighbours": 5}
    channel = small.fit(UserCF, [log], 13, 17, **told)
    history = user_history(small.build([log], 13, 17), last)
    owner = np.repeat(np.arange(13), history.offsets.diff())
    liked = [set() for _ in range(13)]
    for item in range(17):
        at = np.flatnonzero(history.item.numpy() == item)
        for entry in sorted(at, key=lambda e: (-int(history.time[e]), owner[e]))[:audience]:
            liked[owner[entry]].add(item)
    fans = [sum(item in mine for mine in liked) for item in range(17)]
    for u, mine in enumerate(small.lists(channel.recall(small.requests(range(13)), 1000))):
        alike = {}
        for v in range(13):
            worth = [1 / math.log1p(fans[item]) if discount else 1.0 for item in liked[u] & liked[v]]
            if v != u and worth:
                alike[v] = math.fsum(worth) / math.sqrt(len(liked[u]) * len(liked[v]))
        # Rounded, as equal sums may differ in their last bits.
        best = sorted(alike, key=lambda v: (-round(alike[v], 11), v))[:5]
        first, last_ = channel.offsets[u], channel.offsets[u + 1]
        assert channel.user[first:last_].tolist() == best
        np.testing.assert_allclose(channel.similarity[first:last_], [alike[v] for v in best], rtol=1e-6)
        score = {}
        for v in best:
            for item, points in small.likes(history)[v]:
                score[item] = score.get(item, 0.0) + alike[v] * points
        assert {item for item, _ in mine} == set(score)
        np.testing.assert_allclose([s for _, s in mine], [score[item] for item, _ in mine], rtol=1e-6)


def test_a_user_whose_items_are_all_too_old_takes_no_place(small):
    # User 1 is most like user 0, but brings item 0 alone, which is older than 3; user 2 brings item 2.
    catalogue = small.catalogue(3, publish_time=[1, 9, 9])
    log = small.log([0, 0, 1, 2, 2], [0, 1, 0, 0, 2], click=[1] * 5)
    told = UserCF.Settings(neighbours=1, discount=False)
    for recall_ms, neighbour, items in ((0, 1, {0}), (2, 2, {2})):
        channel = UserCF.fit(small.build([log], 3, catalogue, recall_ms=recall_ms), told)
        assert channel.user[: channel.offsets[1]].tolist() == [neighbour]
        assert {item for item, _ in small.lists(channel.recall(small.requests([0]), 9))[0]} == items


def test_one_user_and_no_rows(small):
    alone = small.fit(UserCF, [small.log([0], [0], click=[1])], 1, 1)
    assert small.lists(alone.recall(small.requests([0, -1]), 5)) == [[], []]
    silent = small.fit(UserCF, [], 2, 3)
    assert small.lists(silent.recall(small.requests([0, 1]), 5)) == [[], []]
