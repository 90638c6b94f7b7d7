"""EASE: its weights against each column's constrained least squares, and its lists against a brute force."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from headrace.channels.ease import Ease
from headrace.channels.shared.history import user_history
from headrace.similarity.ease import ease_weights, most_liked


def least_squares(likes, l2):
    """[m, m]: each column fitted by the other items alone, so that its own weight is 0."""
    m = likes.shape[1]
    weights = np.zeros((m, m))
    for column in range(m):
        others = np.delete(np.arange(m), column)
        x = likes[:, others]
        weights[others, column] = np.linalg.solve(x.T @ x + l2 * np.eye(m - 1), x.T @ likes[:, column])
    return weights


@pytest.mark.parametrize("l2", [0.5, 7.0, 500.0])
def test_each_column_is_the_least_squares_of_the_others(l2):
    likes = np.random.default_rng(0).integers(0, 3, (40, 17)).astype(float)
    found = ease_weights(csr_array(likes), l2)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), least_squares(likes, l2), rtol=1e-5, atol=1e-7)
    assert not found.diagonal().any()


def test_the_most_liked_items_tie_to_the_lower():
    likes = csr_array(np.array([[1, 0, 1, 1, 0], [0, 0, 1, 0, 1]]))
    assert most_liked(likes, 2).tolist() == [0, 2]
    assert most_liked(likes, 9).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("most", "last"), [(31, 200), (9, 200), (5, 3), (1, 200)])
def test_lists_equal_a_brute_force(small, most, last):
    channel = small.fit(Ease, [small.random_log(3)], 7, 31, most=most, last=last, l2=2.0)
    weight = channel.weight.double().numpy()
    row_of = {item: row for row, item in enumerate(channel.item.tolist())}
    history = user_history(small.build([small.random_log(3)], 7, 31), last)
    found = small.lists(channel.recall(small.requests(range(7)), 1000))
    for liked, mine in zip(small.likes(history), found, strict=True):
        rows = [row_of[item] for item, _ in liked if item in row_of]
        score = weight[rows].sum(0)
        bound = (len(rows) + 2) * 2.0**-24 * np.abs(weight[rows]).sum(0)
        by_item = dict(mine)
        for item, row in row_of.items():
            assert abs(by_item.get(item, 0.0) - max(score[row], 0)) <= bound[row] + 1e-12
    assert [len(mine) for mine in small.lists(channel.recall(small.requests(range(7)), 2))] == [
        min(2, len(mine)) for mine in found
    ]


def test_what_is_too_old_is_in_no_list_and_speaks_for_others(small):
    log, days = small.random_log(3), np.arange(31) % 3 * small.DAY * 4
    made = small.build([log], 7, small.catalogue(31, publish_time=days), recall_ms=5 * small.DAY)
    old = days < log.time[-1] + 1 - 5 * small.DAY
    assert 0 < old.sum() < 31
    told = {"l2": 2.0}
    every = small.lists(small.fit(Ease, [log], 7, 31, **told).recall(small.requests(range(7)), 1000))
    channel = Ease.fit(made, Ease.Settings(**told))
    for quota in (1, 4, 1000):
        found = small.lists(channel.recall(small.requests(range(7)), quota))
        assert found == [[one for one in mine if not old[one[0]]][:quota] for mine in every]


def test_what_most_users_like_says_the_same_for_everybody(small):
    # Item 0 is liked by all, user 5 likes all, and an item liked twice counts once.
    rows = [(user, 0) for user in range(6)] + [(5, item) for item in range(1, 4)] + [(0, 1), (0, 1)]
    log = small.log([user for user, _ in rows], [item for _, item in rows], click=[1] * len(rows))
    likes = np.zeros((6, 4))
    for user, item in rows:
        likes[user, item] = 1
    channel = small.fit(Ease, [log], 6, 4, l2=1.0)
    np.testing.assert_allclose(channel.weight.numpy(), least_squares(likes, 1.0), rtol=1e-5, atol=1e-7)


def test_no_likes_and_one_item(small):
    silent = small.fit(Ease, [], 2, 3)
    assert small.lists(silent.recall(small.requests([0, 1, -1]), 5)) == [[], [], []]
    alone = small.fit(Ease, [small.log([0], [0], click=[1])], 1, 1)
    assert small.lists(alone.recall(small.requests([0]), 5)) == [[]]


def test_errors_name_what_came(small):
    with pytest.raises(ValueError, match="l2: expected a finite number above 0, got 0"):
        ease_weights(csr_array(np.eye(2)), 0)
    with pytest.raises(ValueError, match="most: expected at least 1, got 0"):
        most_liked(csr_array(np.eye(2)), 0)
    with pytest.raises(ValueError, match="expected item rows from 0 to 0, got 3 to 3"):
        small.fit(Ease, [small.log([0], [3], click=[1])], 1, 1)
