import math
from collections import defaultdict
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from headrace.channels.itemcf import ItemCF, nearest_items
from headrace.channels.shared import neighbours as module
from headrace.channels.shared.history import UserHistory


def fit(small, logs, users, items, **settings):
    return small.fit(ItemCF, logs, users, items, **{"neighbours": 10, "min_common": 1, **settings})


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


@pytest.mark.parametrize("block", [1, 40, 10**6])
def test_blocks_do_not_change_the_neighbours(small, monkeypatch, block):
    log = small.random_log(5, users=31, items=97, rows=1000)
    expected = fit(small, [log], 31, 97).state().tensors
    monkeypatch.setattr(module, "_BLOCK", block)
    found = fit(small, [log], 31, 97).state().tensors
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_equal_similarities_of_different_norms_tie_to_the_lower_item():
    # Item 0 has norm^2 3; dot 1, 2 and 3 over norm^2 12, 48 and 108: each similarity is exactly 1/6.
    likes = np.zeros((102, 4))
    likes[:3, 0] = 1
    for item, (dot, norm) in enumerate([(3, 108), (1, 12), (2, 48)], 1):
        likes[0, item] = dot
        likes[3 : 3 + norm - dot * dot, item] = 1
    offsets, item, similarity = nearest_items(csr_array(likes), 2)
    assert item[: offsets[1]].tolist() == [1, 2]
    assert similarity[: offsets[1]].tolist() == [pytest.approx(1 / 6)] * 2


def test_the_last_n_items_bound_what_a_user_says(small):
    log = small.log([0] * 4, [0, 1, 2, 3], click=[1] * 4)
    channel = fit(small, [log], 1, 4, last=2)
    assert small.neighbours(channel) == [[], [], [(3, 1.0)], [(2, 1.0)]]


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
    with pytest.raises(ValueError, match=r"similarity\n.*'cosine' or 'count'"):
        fit(small, [log], 1, 1, similarity="jaccard")
    with pytest.raises(ValueError, match="expected item rows from 0 to 0, got 3 to 3"):
        fit(small, [small.log([0], [3], click=[1])], 1, 1)
