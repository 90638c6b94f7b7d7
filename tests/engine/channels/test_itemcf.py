import math
from collections import defaultdict
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from headrace.channels.itemcf import ItemCF
from headrace.channels.shared.history import UserHistory
from headrace.similarity.neighbours import Weighting, nearest_items

#: The scoring of the slides.
PLAIN = {"similarity": "cosine", "fading": 0}


def fit(small, logs, users, items, **settings):
    return small.fit(ItemCF, logs, users, items, **{**PLAIN, "neighbours": 10, "min_common": 1, **settings})


def log_of_likes(small, likes):
    """A log in which user u gives item i likes[u][i] points, as that many clicks."""
    rows = [(u, i) for u, mine in enumerate(likes) for i, points in enumerate(mine) for _ in range(points)]
    return small.log([u for u, _ in rows], [i for _, i in rows], click=[1] * len(rows))


def brute_neighbours(likes, items, k, min_common, similarity):
    """Exact rational squares of the similarities, so that equal ones tie."""
    like = defaultdict(dict)
    for user, mine in enumerate(likes):
        for item, points in mine:
            like[item][user] = points if similarity == "cosine" else 1
    norm = {item: sum(x * x for x in users.values()) for item, users in like.items()}
    table = []
    for a in range(items):
        row = []
        for b in range(items):
            common = set(like[a]) & set(like[b])
            if a != b and len(common) >= min_common:
                dot = sum(like[a][user] * like[b][user] for user in common)
                row.append((Fraction(dot * dot, norm[a] * norm[b]), b))
        row.sort(key=lambda pair: (-pair[0], pair[1]))
        table.append([(b, float(np.float32(math.sqrt(square)))) for square, b in row[:k]])
    return table


def brute_recall(liked, neighbours, quota):
    score = defaultdict(list)
    for seed, points in liked:
        for item, similarity in neighbours[seed]:
            score[item].append(points * similarity)
    total = {item: float(np.float32(math.fsum(parts))) for item, parts in score.items()}
    return sorted(total.items(), key=lambda pair: (-pair[1], pair[0]))[:quota]


def test_cosine_of_the_slides(small):
    log = log_of_likes(small, [[2, 0], [1, 3], [4, 1], [0, 2]])
    [(item, similarity)] = small.neighbours(fit(small, [log], 4, 2))[0]
    assert item == 1
    assert similarity == pytest.approx(0.408248, abs=1e-6)


@pytest.mark.parametrize(
    ("likes", "expected"),
    [
        ([[1, 1]] * 6, [(1, 1.0)]),
        ([[1, 0]] * 3 + [[0, 1]] * 3, []),
        ([[1, 1], [2, 3], [1, 0], [0, 1]], [(1, pytest.approx(2 / 3))]),
    ],
)
def test_count_of_the_slides(small, likes, expected):
    channel = fit(small, [log_of_likes(small, likes)], len(likes), 2, similarity="count")
    assert small.neighbours(channel)[0] == expected


def by_hand(interest, neighbours, items):
    """One user with these (item, interest), and these neighbours of items."""
    history = UserHistory(
        torch.tensor([0, len(interest)]),
        torch.tensor([item for item, _ in interest]),
        torch.tensor([float(points) for _, points in interest]),
        torch.zeros(len(interest), dtype=torch.int64),
    )
    rows = [neighbours.get(item, []) for item in range(items)]
    return ItemCF(
        history,
        torch.tensor(np.cumsum([0, *map(len, rows)])),
        torch.tensor([item for row in rows for item, _ in row]),
        torch.tensor([similarity for row in rows for _, similarity in row]),
    )


def test_score_of_the_slides(small):
    seen = {item: [(4, similarity)] for item, similarity in enumerate((0.1, 0.4, 0.2, 0.6))}
    channel = by_hand(list(enumerate((2, 1, 4, 3))), seen, 5)
    [[(item, score)]] = small.lists(channel.recall(small.requests([0]), 100))
    assert item == 4
    assert score == pytest.approx(3.2, rel=1e-6)


def test_diagram_of_the_slides(small):
    red, black, blue, orange = range(4)
    neighbours = {
        red: [(10, 0.7), (11, 0.6)],
        black: [(12, 0.8), (13, 0.5)],
        blue: [(14, 0.6), (15, 0.6)],
        orange: [(16, 0.9), (17, 0.4)],
    }
    channel = by_hand([(red, 2), (black, 1), (blue, 4), (orange, 3)], neighbours, 20)
    [found] = small.lists(channel.recall(small.requests([0]), 100))
    assert [item for item, _ in found] == [16, 14, 15, 10, 11, 17, 12, 13]
    assert [score for _, score in found] == pytest.approx([2.7, 2.4, 2.4, 1.4, 1.2, 1.2, 0.8, 0.5], rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    k=st.sampled_from([1, 3, 10, 100]),
    last=st.sampled_from([1, 3, 200]),
    min_common=st.integers(1, 3),
    similarity=st.sampled_from(["cosine", "count"]),
)
def test_neighbours_and_recall_equal_brute_force(small, seed, k, last, min_common, similarity):
    log = small.random_log(seed, users=9, items=17, rows=150)
    channel = fit(small, [log], 9, 17, neighbours=k, last=last, min_common=min_common, similarity=similarity)
    likes = small.likes(channel.history)
    neighbours = brute_neighbours(likes, 17, k, min_common, similarity)
    assert small.neighbours(channel) == neighbours
    for quota in (1, 5, 1000):
        found = small.lists(channel.recall(small.requests(range(9)), quota))
        assert found == [brute_recall(liked, neighbours, quota) for liked in likes]


def test_equal_similarities_of_different_norms_tie_to_the_lower_item():
    # Item 0 has norm^2 3; dot 1, 2 and 3 over norm^2 12, 48 and 108: each similarity is exactly 1/6.
    likes = np.zeros((102, 4))
    likes[:3, 0] = 1
    for item, (dot, norm) in enumerate([(3, 108), (1, 12), (2, 48)], 1):
        likes[0, item] = dot
        likes[3 : 3 + norm - dot * dot, item] = 1
    offsets, item, similarity = nearest_items(csr_array(likes), 2, Weighting())
    assert item[: offsets[1]].tolist() == [1, 2]
    assert similarity[: offsets[1]].tolist() == [pytest.approx(1 / 6)] * 2


def test_the_last_n_items_bound_what_a_user_says(small):
    log = small.log([0] * 4, [0, 1, 2, 3], click=[1] * 4)
    channel = fit(small, [log], 1, 4, last=2)
    assert small.neighbours(channel) == [[], [], [(3, 1.0)], [(2, 1.0)]]


def dense_likes(channel, items):
    likes = np.zeros((len(channel.history), items))
    for user, mine in enumerate(pairs_of(channel.history)):
        for item, interest in mine:
            likes[user, item] = interest
    return likes


def pairs_of(history):
    rows = list(zip(history.item.tolist(), history.interest.tolist(), strict=True))
    return [rows[a:b] for a, b in pairwise(history.offsets.tolist())]


def by_definition(likes, similarity, shrink, alpha, beta):
    """Each similarity written out, pair by pair."""
    items = likes.shape[1]
    liked = likes > 0
    of_user, of_item = likes.sum(1), likes.sum(0)
    count = liked.sum(1)
    idf = np.log(1 + (items - count + 0.5) / (count + 0.5))
    found = np.zeros((items, items))
    for i in range(items):
        for j in range(items):
            both = np.flatnonzero(liked[:, i] & liked[:, j])
            if i == j or not len(both):
                continue
            x, y = likes[:, i], likes[:, j]
            if similarity in ("p3alpha", "rp3beta"):
                walk = sum((x[u] / of_item[i]) ** alpha * (y[u] / of_user[u]) ** alpha for u in both)
                found[i, j] = walk / (of_item[j] ** beta if similarity == "rp3beta" else 1)
                continue
            if similarity == "bm25":
                a, b = (idf * one * 2.2 / (one + 1.2 * (0.25 + 0.75 * one.sum() / of_item.mean())) for one in (x, y))
                found[i, j] = a @ b
                continue
            if similarity == "count":
                a, b = liked[:, i] * 1.0, liked[:, j] * 1.0
            elif similarity == "pearson":
                a, b = (np.where(one > 0, one - one[one > 0].mean(), 0) for one in (x, y))
            elif similarity == "tfidf":
                a, b = np.sqrt(x) * idf, np.sqrt(y) * idf
            else:
                a, b = x, y
            below = np.sqrt(a @ a) * np.sqrt(b @ b) + shrink
            found[i, j] = a @ b / below if below else 0
    return found


@pytest.mark.parametrize("similarity", ["count", "cosine", "pearson", "tfidf", "bm25", "p3alpha", "rp3beta"])
@pytest.mark.parametrize("shrink", [0.0, 1.5])
def test_each_similarity_is_as_defined(small, similarity, shrink):
    log = small.random_log(4, users=9, items=13, rows=120)
    told = {"similarity": similarity, "shrink": shrink, "alpha": 0.7, "beta": 0.4, "neighbours": 20}
    channel = fit(small, [log], 9, 13, **told)
    expected = by_definition(dense_likes(channel, 13), similarity, shrink, 0.7, 0.4)
    for i, mine in enumerate(small.neighbours(channel)):
        got = np.zeros(13)
        got[[item for item, _ in mine]] = [value for _, value in mine]
        np.testing.assert_allclose(got, np.where(expected[i] > 1e-12, expected[i], 0), rtol=1e-6)


def test_older_items_say_less(small):
    log = small.log([0] * 4, [0, 1, 2, 3], click=[1] * 4, like=[0, 1, 0, 0])
    channel = fit(small, [log], 1, 4, fading=0.5)
    assert channel.history.item.tolist() == [3, 2, 1, 0]
    np.testing.assert_allclose(channel.history.interest, [1, 2**-0.5, 2 * 3**-0.5, 4**-0.5])


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("power", [0.3, 1.0])
@pytest.mark.parametrize("k", [2, 20])
def test_normalised_scores_are_as_defined(small, power, centred, k):
    """m_i + sum over N(i) of s~_ij (x_uj - m_j), s~ = s / (sum of s over N(i))^power; without centring, m is 0."""
    log = small.random_log(8, users=9, items=13, rows=120)
    plain = fit(small, [log], 9, 13, neighbours=k)
    channel = fit(small, [log], 9, 13, neighbours=k, normalised=power, centred=centred)
    likes = dense_likes(channel, 13)
    mean = likes.mean(0) if centred else np.zeros(13)
    share = np.zeros((13, 13))
    for i, mine in enumerate(small.neighbours(plain)):
        for j, value in mine:
            share[i, j] = value / sum(value for _, value in mine) ** power
    expected = mean + (likes[:, None, :] - mean)[:, 0] @ share.T if centred else likes @ share.T
    for user, found in enumerate(small.lists(channel.recall(small.requests(range(9)), 1000))):
        reached = {i for i in range(13) if (share[i] * likes[user]).any()}
        assert {item for item, _ in found} == reached
        np.testing.assert_allclose([s for _, s in found], expected[user][[i for i, _ in found]], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("k", [1, 3, 100])
@pytest.mark.parametrize("similarity", ["count", "cosine", "pearson", "tfidf", "bm25", "p3alpha", "rp3beta"])
def test_lists_are_filled_with_what_may_be_recalled(small, similarity, k):
    log, days = small.random_log(3, users=9, items=17, rows=150), np.arange(17) % 3 * small.DAY * 4
    made = small.build([log], 9, small.catalogue(17, publish_time=days), recall_ms=5 * small.DAY)
    old = days < log.time[-1] + 1 - 5 * small.DAY
    assert 0 < old.sum() < 17
    told = {"similarity": similarity, "min_common": 1}
    channel = ItemCF.fit(made, ItemCF.Settings(neighbours=k, **told))
    whole = small.neighbours(small.fit(ItemCF, [log], 9, 17, neighbours=17, **told))
    assert small.neighbours(channel) == [[one for one in row if not old[one[0]]][:k] for row in whole]
    # Candidates bring their own lists here, of seeds as old as they like.
    turned = small.neighbours(ItemCF.fit(made, ItemCF.Settings(neighbours=k, normalised=0.5, **told)))
    whole = small.neighbours(small.fit(ItemCF, [log], 9, 17, neighbours=k, normalised=0.5, **told))
    assert turned == [[one for one in row if not old[one[0]]] for row in whole]


def test_an_item_that_all_like_and_a_user_who_likes_all(small):
    rows = [(user, 0) for user in range(6)] + [(5, item) for item in range(1, 5)] + [(5, 1), (5, 1)]
    log = small.log([user for user, _ in rows], [item for _, item in rows], click=[1] * len(rows))
    for similarity in ("count", "cosine", "tfidf", "bm25", "p3alpha", "rp3beta"):
        channel = small.fit(ItemCF, [log], 6, 5, similarity=similarity, min_common=1)
        found = small.lists(channel.recall(small.requests([0, 5]), 100))
        assert {item for item, _ in found[0]} == {1, 2, 3, 4}
        assert {item for item, _ in found[1]} == {0, 1, 2, 3, 4}
        assert all(np.isfinite(score) for mine in found for _, score in mine)


def test_one_item_and_no_rows(small):
    alone = fit(small, [small.log([0], [0], click=[1])], 1, 1)
    assert small.lists(alone.recall(small.requests([0, -1]), 5)) == [[], []]
    silent = fit(small, [], 2, 3)
    assert small.lists(silent.recall(small.requests([0, 1]), 5)) == [[], []]


def test_errors_name_what_came(small):
    log = small.log([0], [0], click=[1])
    with pytest.raises(ValueError, match=r"neighbours\n.*greater than or equal to 1"):
        fit(small, [log], 1, 1, neighbours=0)
    with pytest.raises(ValueError, match=r"min_common\n.*greater than or equal to 1"):
        fit(small, [log], 1, 1, min_common=0)
    with pytest.raises(ValueError, match=r"similarity\n.*'cosine', 'count'"):
        fit(small, [log], 1, 1, similarity="jaccard")
    with pytest.raises(ValueError, match="expected item rows from 0 to 0, got 3 to 3"):
        fit(small, [small.log([0], [3], click=[1])], 1, 1)
