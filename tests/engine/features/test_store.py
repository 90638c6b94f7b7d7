import dataclasses
import json

import numpy as np
import pytest
import torch

from headrace.data import Catalogue, Dataset, IdMap, InteractionLog, Jagged, Users
from headrace.features import FeatureSettings, FeatureStore, TrainingSet
from headrace.types import Requests

HOUR = 3_600_000
USERS, ITEMS = 13, 31


def made_up(n=1000, seed=0, days=20):
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, USERS, n).astype(np.int32), rng.integers(0, ITEMS, n).astype(np.int32)
    time = np.sort(rng.integers(0, days * 24 * HOUR, n)) + 1_650_000_000_000
    click = (rng.random(n) < 0.4).astype(np.int8)
    like = np.where(rng.random(n) < 0.3, click, 0).astype(np.int8)
    log = InteractionLog(
        user, item, time, {"click": click, "like": like}, context={"tab": rng.integers(-1, 4, n).astype(np.int32)}
    )
    catalogue = Catalogue(
        IdMap(np.arange(ITEMS)),
        author=rng.integers(-1, 5, ITEMS).astype(np.int32),
        category=Jagged(np.arange(ITEMS + 1), rng.integers(0, 4, ITEMS).astype(np.int32)),
        publish_time=rng.integers(-1, 2, ITEMS) * 1_600_000_000_000,
        duration_ms=rng.integers(-1, 90_000, ITEMS).astype(np.int32),
        vector=rng.normal(size=(ITEMS, 4)).astype(np.float32),
    )
    users = Users(IdMap(np.arange(USERS)), {"age": rng.integers(-1, 3, USERS).astype(np.int32)})
    return Dataset("made up", users, catalogue, log)


def requests_of(log):
    context = {name: torch.from_numpy(codes).long() for name, codes in log.context.items()}
    return Requests(torch.from_numpy(log.user).long(), torch.from_numpy(log.time), context)


def tensors_of(inputs):
    parts = (inputs.request, inputs.item, inputs.cross)
    return {f"{type(p).__name__}.{f.name}": getattr(p, f.name) for p in parts for f in dataclasses.fields(p)}


@pytest.mark.parametrize("refresh", [0, HOUR, 24 * HOUR])
def test_serving_gives_the_features_of_training(refresh):
    dataset = made_up()
    store = FeatureStore.fit(dataset, FeatureSettings(refresh_ms=refresh))
    rows = torch.tensor([0, 1, 7, 500, 998, 999])
    trained = tensors_of(TrainingSet(store, dataset.log).inputs(rows))
    served = FeatureStore.from_state(*store.state())
    requests = requests_of(dataset.log.take(rows.numpy()))
    item = torch.from_numpy(dataset.log.item[rows.numpy()]).long()
    offsets = torch.arange(len(rows) + 1)
    for name, tensor in tensors_of(served.inputs(requests, offsets, item)).items():
        assert torch.equal(tensor, trained[name]), name


@pytest.mark.parametrize("refresh", [0, 6 * HOUR])
def test_nothing_from_the_future(refresh):
    """What comes after a row may be anything: neither its statistics nor its behaviours change."""
    dataset, rng = made_up(), np.random.default_rng(5)
    cut = 600
    log = dataset.log
    signals = {name: column.copy() for name, column in log.signals.items()}
    user, item = log.user.copy(), log.item.copy()
    user[cut:], item[cut:] = rng.permutation(user[cut:]), rng.permutation(item[cut:])
    settings = FeatureSettings(refresh_ms=refresh)
    before, after = FeatureStore.fit(dataset, settings), None
    after = FeatureStore.fit(
        dataset.with_log(dataclasses.replace(log, user=user, item=item, signals=signals)), settings
    )
    early = log.take(slice(0, cut))
    requests, items = requests_of(early), torch.from_numpy(early.item).long()
    keys = before.keys(requests, items)
    moment = before.as_of(requests.time)
    assert bool((moment <= requests.time).all())
    for side in ("request_features", "cross_features"):
        now, then = getattr(before.bank, side)(keys, moment), getattr(after.bank, side)(keys, moment)
        assert torch.equal(now, then)
    assert torch.equal(before.behaviour(requests), after.behaviour(requests))


def test_behaviours_are_the_last_clicks_newest_first():
    dataset = made_up(200)
    log = dataset.log
    store = FeatureStore.fit(dataset, FeatureSettings(refresh_ms=0, behaviours=5))
    got = store.behaviour(requests_of(log)).numpy()
    for row in range(len(log)):
        mine = (log.user == log.user[row]) & (log.signals["click"] == 1) & (log.time < log.time[row])
        last = log.item[mine][::-1][:5] + 1
        assert got[row].tolist() == [*last, *[0] * (5 - len(last))]


def test_history_comes_before_the_log():
    dataset = made_up(50)
    first = dataset.log.take(slice(0, 1))
    old = InteractionLog(
        np.full(2, first.user[0], np.int32),
        np.array([4, 9], np.int32),
        first.time[0] + np.array([10, 20]),
        {"click": np.ones(2, np.int8)},
    )
    store = FeatureStore.fit(dataclasses.replace(dataset, history=old), FeatureSettings(refresh_ms=0, behaviours=3))
    assert store.behaviour(requests_of(first)).tolist() == [[10, 5, 0]]


def test_after_the_log_every_moment_is_its_end():
    dataset = made_up()
    store = FeatureStore.fit(dataset)
    end = int(dataset.log.time[-1])
    item, user = torch.arange(ITEMS), torch.zeros(ITEMS, dtype=torch.int64)
    soon, late = (
        store.cross_statistics(Requests(user, torch.full((ITEMS,), end + wait)), None, item)
        for wait in (1, 90 * 24 * HOUR)
    )
    assert torch.equal(soon, late)
    mixed = torch.full((ITEMS,), end + 1)
    mixed[0] = end - 1
    assert torch.equal(store.cross_statistics(Requests(user, mixed), None, item)[1:], soon[1:])


def test_unknown_users_items_of_no_author_and_empty_batches_are_served():
    store = FeatureStore.fit(made_up())
    requests = Requests(torch.tensor([-1, 3]), torch.tensor([1_650_000_000_000, 1_750_000_000_000]))
    inputs = store.inputs(requests, torch.tensor([0, 2, 2]), torch.tensor([0, 30]))
    assert inputs.request.codes[0, 0] == 0
    assert bool(torch.isfinite(inputs.cross.statistics).all())
    nobody = Requests(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    empty = store.inputs(nobody, torch.tensor([0]), torch.zeros(0, dtype=torch.int64))
    assert empty.request.codes.shape == (0, len(store.spec.user))
    assert empty.cross.statistics.shape == (0, store.spec.cross_width)


def test_state_is_tensors_and_json():
    store = FeatureStore.fit(made_up())
    tensors, meta = store.state()
    assert all(isinstance(t, torch.Tensor) and t.is_contiguous() for t in tensors.values())
    again = FeatureStore.from_state(tensors, json.loads(json.dumps(meta)))
    assert again.spec == store.spec


def test_an_empty_log_is_refused():
    dataset = made_up()
    with pytest.raises(ValueError, match="at least 1 row"):
        FeatureStore.fit(dataset.with_log(dataset.log.take(slice(0, 0))))


def test_content_similarity_to_the_last_clicks():
    dataset = made_up(300)
    store = FeatureStore.fit(dataset, FeatureSettings(refresh_ms=0, behaviours=5, content_dim=3))
    content, log = store.items.content.double().numpy(), dataset.log
    assert np.allclose(np.linalg.norm(content, axis=1), 1, rtol=0, atol=8 * 2.0**-24)
    requests, item = requests_of(log), torch.from_numpy(log.item).long()
    got = store._raw_cross(requests, None, item)[:, -2:].numpy()
    for row in range(len(log)):
        mine = (log.user == log.user[row]) & (log.signals["click"] == 1) & (log.time < log.time[row])
        last = log.item[mine][::-1][:5]
        similar = content[last] @ content[log.item[row]] if len(last) else np.zeros(1)
        assert got[row] == pytest.approx([similar.mean(), similar.max()], rel=0, abs=(5 + 3 + 3) * 2.0**-24)
