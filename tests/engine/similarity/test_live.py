"""Neighbours that follow events are those that are built anew."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from headrace.similarity.live import LiveNeighbours
from headrace.similarity.neighbours import Weighting, nearest_items


def same(live, likes, k):
    found = live.nearest(np.arange(likes.shape[1]), k)
    anew = nearest_items(csr_array(likes.astype(np.float64)), k, Weighting())
    return all(torch.equal(a, b) for a, b in zip(found, anew, strict=True))


@pytest.mark.parametrize("k", [1, 4, 100])
@pytest.mark.parametrize("most", [1, 5])
def test_after_every_event_they_are_those_built_anew(k, most):
    rng = np.random.default_rng(0)
    likes = np.zeros((9, 17), np.int64)
    live = LiveNeighbours(csr_array(likes))
    for _ in range(120):
        user, item = int(rng.integers(9)), int(rng.integers(17))
        before, points = int(likes[user, item]), int(rng.integers(1, most + 1))
        likes[user, item] = 0
        others = np.flatnonzero(likes[user])
        if before:
            # Every other time the like is taken back.
            live.add(item, -before, others, likes[user, others])
            if rng.random() < 0.5:
                assert same(live, likes, k)
                continue
        live.add(item, points, others, likes[user, others])
        likes[user, item] = points
        assert same(live, likes, k)
    assert same(LiveNeighbours(csr_array(likes)), likes, k)


def test_some_items_alone_are_asked_for():
    likes = csr_array(np.random.default_rng(1).integers(0, 2, (20, 9)))
    live = LiveNeighbours(likes)
    offsets, item, _ = live.nearest(np.arange(9), 3)
    some, found, _ = live.nearest(np.array([7, 2]), 3)
    assert found[: some[1]].tolist() == item[offsets[7] : offsets[8]].tolist()
    assert found[some[1] :].tolist() == item[offsets[2] : offsets[3]].tolist()


def test_errors_name_what_came():
    live = LiveNeighbours(csr_array(np.eye(3)))
    nobody = np.zeros(0, np.int64)
    with pytest.raises(ValueError, match="item: expected 0 to 2, got 3 to 3"):
        live.add(3, 1, nobody, nobody)
    with pytest.raises(ValueError, match="others: expected none that is the item 1"):
        live.add(1, 1, np.array([1]), np.array([1]))
    with pytest.raises(ValueError, match="k: expected at least 1, got 0"):
        live.nearest(np.array([0]), 0)
    with pytest.raises(ValueError, match="likes: expected whole numbers of at least 1"):
        LiveNeighbours(csr_array(np.eye(3) / 2))
