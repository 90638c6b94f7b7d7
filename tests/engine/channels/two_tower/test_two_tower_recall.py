"""The two-tower channel against a float64 brute force over all items."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from headrace.channels.two_tower import TwoTower
from headrace.channels.two_tower.objective import TwoTowerSettings
from headrace.data.dataset import Catalogue, Dataset, InteractionLog, Users
from headrace.data.ids import IdMap
from headrace.state import State
from headrace.training.build import Build
from headrace.types import Requests

USERS, ITEMS = 33, 65


def on_disk(state: State) -> State:
    return State(load(save(state.tensors)), json.loads(json.dumps(state.facts)))


def make(features: bool, min_positives: int = 0) -> TwoTower:
    """Users 0..19 have clicks; of the others only the even ones have a known feature."""
    draw = np.random.default_rng(4)
    rows = 400
    log = InteractionLog(
        draw.integers(20, size=rows).astype(np.int32),
        draw.integers(ITEMS, size=rows).astype(np.int32),
        np.arange(rows, dtype=np.int64),
        {"click": np.ones(rows, np.int8)},
    )
    log.user[:20] = np.arange(20)
    age = np.where(np.arange(USERS) % 2 == 0, 1, -1).astype(np.int32)
    users = Users(IdMap(range(USERS)), {"age": age} if features else {})
    data = Dataset("small", users, Catalogue(IdMap(range(ITEMS))), log)
    settings = TwoTowerSettings(batch_size=50, dim=7, hidden=9, last_n=3, negatives=10, min_positives=min_positives)
    return TwoTower.fit(Build(data), settings)


@pytest.fixture(scope="module")
def channel() -> TwoTower:
    return make(features=True)


def requests(*users: int) -> Requests:
    return Requests(torch.tensor(users, dtype=torch.int64), torch.zeros(len(users), dtype=torch.int64))


@pytest.mark.parametrize("quota", [1, 7, 64, 65, 66, 1000])
def test_recall_is_the_brute_force_over_all_items(channel: TwoTower, quota: int) -> None:
    got = channel.recall(requests(*range(20)), quota)
    vectors = channel.vectors.double().numpy()
    assert got.counts.tolist() == [min(quota, ITEMS)] * 20
    for user in range(20):
        cosine = vectors @ channel.user_vectors(torch.tensor([user]))[0].double().numpy()
        best = np.lexsort((np.arange(ITEMS), -cosine))[:quota]
        mine = slice(int(got.offsets[user]), int(got.offsets[user + 1]))
        assert got.item[mine].tolist() == best.tolist()
        assert got.score[mine].numpy() == pytest.approx(cosine[best], abs=1e-6)
    assert got.score.dtype == torch.float32
    assert got.item.dtype == got.channels.dtype == torch.int64
    assert not bool(got.channels.any())


def test_vectors_are_of_unit_length(channel: TwoTower) -> None:
    for vectors in (channel.vectors, channel.user_vectors(torch.arange(USERS))):
        assert torch.allclose(vectors.norm(dim=1), torch.ones(len(vectors)), atol=1e-6)


def test_who_is_unknown_gets_none(channel: TwoTower) -> None:
    # 3 has clicks; 24 has a feature only; 25 has neither; -1 is unknown.
    got = channel.recall(requests(-1, 3, 25, 24, -1), 5)
    assert got.counts.tolist() == [0, 5, 0, 5, 0]
    assert make(features=False).recall(requests(-1, 3, 25, 24), 5).counts.tolist() == [0, 5, 0, 0]
    assert channel.recall(requests(-1, 25), 5).counts.tolist() == [0, 0]
    assert len(channel.recall(requests(), 5)) == 0


def test_a_request_is_answered_alike_in_any_batch(channel: TwoTower) -> None:
    whole = channel.recall(requests(*range(USERS)), 9)
    for user in range(USERS):
        alone = channel.recall(requests(user), 9)
        mine = slice(int(whole.offsets[user]), int(whole.offsets[user + 1]))
        assert torch.equal(alone.item, whole.item[mine])
    vectors = channel.user_vectors(torch.arange(USERS))
    assert all(torch.equal(channel.user_vectors(torch.tensor([u]))[0], vectors[u]) for u in range(USERS))


@pytest.mark.parametrize("features", [False, True])
def test_the_state_survives_a_snapshot(features: bool) -> None:
    first = make(features)
    again = TwoTower.from_state(on_disk(first.state()))
    assert again.state().tensors.keys() == first.state().tensors.keys()
    assert again.state().facts == on_disk(first.state()).facts
    one, two = first.recall(requests(*range(USERS)), 8), again.recall(requests(*range(USERS)), 8)
    assert torch.equal(one.item, two.item)
    assert torch.equal(one.score, two.score)
    assert torch.equal(one.offsets, two.offsets)


def test_no_item_with_enough_positives_means_no_candidates() -> None:
    assert len(make(features=True, min_positives=10_000).recall(requests(0, 1), 5)) == 0


def test_wrong_arguments_are_named(channel: TwoTower) -> None:
    with pytest.raises(ValueError, match="quota: expected at least 1, got 0"):
        channel.recall(requests(1), 0)
    with pytest.raises(ValueError, match="user: expected rows from -1 to 32, got 33"):
        channel.recall(requests(1, 33), 5)
    with pytest.raises(ValueError, match="user: expected rows from -1 to 32, got -2"):
        channel.recall(requests(-2), 5)
