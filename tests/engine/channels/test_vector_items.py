"""Items near the user's last ones by vectors, and seeds drawn so that categories are balanced."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.channels.content_i2i import ContentI2I
from headrace.channels.shared.history import UserHistory
from headrace.channels.shared.vector_items import balanced
from headrace.channels.two_tower_i2i import TwoTowerI2I
from headrace.data import generate
from headrace.training.build import Build
from headrace.types import Requests


def with_vectors(catalogue, vector):
    return dataclasses.replace(catalogue, vector=np.asarray(vector, np.float32))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), neighbours=st.sampled_from([1, 3, 40]), days=st.sampled_from([0, 4]))
def test_neighbours_equal_brute_force(small, seed, neighbours, days):
    random = np.random.default_rng(seed)
    vector = random.standard_normal((31, 4)).astype(np.float32)
    vector[random.random(31) < 0.1] = 0
    catalogue = with_vectors(small.random_catalogue(seed), vector)
    made = small.build([small.random_log(seed, rows=40)], 7, catalogue, recall_ms=days * small.DAY)
    channel = ContentI2I.fit(made, ContentI2I.Settings(neighbours=neighbours))
    log, published = made.dataset.log, catalogue.publish_time
    kept = (published < 0) | (published >= log.time[-1] + 1 - days * small.DAY) | (days == 0)
    met = set(log.item[log.interest() > 0].tolist())
    norm = np.linalg.norm(vector.astype(float), axis=1)
    for item, mine in enumerate(small.neighbours(channel)):
        cosine = {
            i: vector[i].astype(float) @ vector[item] / norm[i] / norm[item]
            for i in range(31)
            if item in met and i != item and kept[i] and norm[i] and norm[item]
        }
        expected = sorted((i for i in cosine if cosine[i] > 0), key=lambda i: -cosine[i])[:neighbours]
        assert [i for i, _ in mine] == expected
        np.testing.assert_allclose([c for _, c in mine], [cosine[i] for i in expected], rtol=1e-4, atol=1e-6)


def test_an_item_that_nobody_met_is_found_by_its_content(small):
    catalogue = with_vectors(small.catalogue(4), [[1, 0], [0.9, 0.1], [0, 1], [-1, 0]])
    channel = small.fit(ContentI2I, [small.log([0], [0], click=[1])], 2, catalogue)
    found = small.lists(channel.recall(small.requests([0, 1]), 9))
    assert [[item for item, _ in mine] for mine in found] == [[1], []]


def test_equal_items_are_neighbours_of_each_other_and_not_of_themselves(small):
    catalogue = with_vectors(small.catalogue(3), [[1, 1]] * 3)
    channel = small.fit(ContentI2I, [small.log([0, 0], [0, 2], click=[1, 1])], 1, catalogue)
    assert [[i for i, _ in mine] for mine in small.neighbours(channel)] == [[1, 2], [], [0, 1]]


def test_what_it_needs(small):
    for catalogue in (small.catalogue(2), with_vectors(small.catalogue(2), np.zeros((2, 0)))):
        words = ContentI2I.needs(small.build([], 1, catalogue).dataset)
        assert words == "catalogue.vector: expected content vectors of the items, got none"
    made = small.build([small.log([0], [0], click=[1])], 1, 2)
    with pytest.raises(
        ValueError, match=r"channels\.two_tower_i2i: expected two_tower or a pool of it with a quota above 0"
    ):
        TwoTowerI2I.fit(made, TwoTowerI2I.Settings())


def test_the_towers_vectors_are_those_of_the_tower(small):
    random = np.random.default_rng(2)
    made = small.build([small.random_log(2)], 7, 31)
    rows = torch.arange(0, 31, 2)
    vectors = torch.from_numpy(random.standard_normal((16, 3)).astype(np.float32))
    made.channels["two_tower"] = SimpleNamespace(rows=rows, vectors=vectors)
    channel = TwoTowerI2I.fit(made, TwoTowerI2I.Settings(neighbours=2))
    unit = torch.nn.functional.normalize(vectors.double())
    lists = small.neighbours(channel)
    assert all(mine == [] for item, mine in enumerate(lists) if item % 2)
    cosine = unit @ unit.T
    cosine.fill_diagonal_(-2)
    for place, item in enumerate(rows.tolist()):
        expected = [int(rows[p]) for p in cosine[place].topk(2).indices if cosine[place, p] > 0]
        assert [i for i, _ in lists[item]] in (expected, [])
    assert any(lists)


def test_seeds_are_balanced_over_categories():
    # Of 100 items 60 are of category 0, 30 of category 1 and 10 of no category: 15 seeds.
    category = torch.tensor([0] * 60 + [1] * 30 + [-1] * 10)
    many = 400
    offsets = torch.arange(many + 1) * 100
    item, time = torch.arange(100).repeat(many), torch.arange(100).flip(0).repeat(many)
    history = UserHistory(offsets, item, torch.ones(len(item)), time)
    drawn = balanced(history, category, 15, seed=3)
    assert drawn.offsets.tolist() == [15 * user for user in range(many + 1)]
    rows = drawn.item.view(many, 15)
    assert bool((rows.diff(dim=1) > 0).all())
    assert torch.equal(drawn.time, 99 - drawn.item)
    for one, most in ((0, 60), (1, 30), (-1, 10)):
        assert bool(((category[rows] == one).sum(1) == 5).all())
        # Any item of a category is as likely as another.
        often = torch.bincount(drawn.item[category[drawn.item] == one], minlength=100)
        expected = many * 5 / most
        assert float((often[category == one] - expected).abs().max()) < 5 * expected**0.5
    few = balanced(history, category, 38, seed=1)
    assert [int((category[few.item] == one).sum()) // many for one in (0, 1, -1)] == [14, 14, 10]
    again = balanced(history, category, 15, seed=3)
    assert torch.equal(again.item, drawn.item)
    assert torch.equal(balanced(history, category, 100, seed=3).item, history.item)


def test_in_a_synthetic_world_content_leads_to_the_users_taste():
    made = generate(users=200, items=2_000, events=8_000, seed=5)
    log = made.dataset.log
    channel = ContentI2I.fit(Build(made.dataset), ContentI2I.Settings(neighbours=10, seeds=20))
    now = torch.full((200,), int(log.time[-1]))
    found = channel.recall(Requests(torch.arange(200), now), 20)
    affinity = made.truth.affinity(found.request.numpy(), found.item.numpy())
    random = np.random.default_rng(0).integers(0, 2_000, len(found))
    assert affinity.mean() > made.truth.affinity(found.request.numpy(), random).mean() + 0.2
