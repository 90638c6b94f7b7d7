import dataclasses
import json

import numpy as np
import pytest
import torch

from headrace.data import Catalogue, Dataset, IdMap, InteractionLog, Jagged, Users
from headrace.features import FAMILIES, Column, Family, FeatureSettings, FeatureStore, TrainingSet, family, requests_of
from headrace.features.families.items import ItemCodes
from headrace.features.family import Scale
from headrace.state import State
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


@pytest.mark.parametrize("refresh", [0, HOUR, 24 * HOUR])
def test_serving_gives_the_features_of_training(refresh):
    dataset = made_up()
    store = FeatureStore.fit(dataset, FeatureSettings(refresh_ms=refresh))
    rows = torch.tensor([0, 1, 7, 500, 998, 999])
    trained = TrainingSet(store, dataset.log).columns(rows)
    served = FeatureStore.from_state(store.state())
    requests = requests_of(dataset.log.take(rows.numpy()))
    item = torch.from_numpy(dataset.log.item[rows.numpy()]).long()
    made = served.request_columns(requests)
    still = served.item_columns(item)
    pairs = served.pair_columns(requests, made, torch.arange(len(rows) + 1), item, live=True)
    for name, column in {**made, **still, **pairs}.items():
        assert torch.equal(column, trained[name]), name
    assert trained.keys() == {column.name for column in store.columns}


def test_columns_are_as_they_say():
    dataset = made_up()
    store = FeatureStore.fit(dataset, FeatureSettings(lists=("engaged", "like")))
    made = TrainingSet(store, dataset.log).columns(torch.arange(300))
    for column in store.columns:
        values = made[column.name]
        assert values.shape == ((300,) if column.kind == "code" else (300, column.size)), column
        if column.kind == "dense":
            assert values.dtype == torch.float32
            assert bool(values.isfinite().all())
        else:
            codes = column.size if column.kind == "code" else store.columns[column.of].size
            assert 0 <= int(values.min()) <= int(values.max()) < codes, column
    sides = {column.name: column.side for column in store.columns}
    assert sides["user"] == sides["user_age"] == sides["context_tab"] == sides["hour"] == "request"
    assert sides["item"] == sides["category"] == sides["content"] == sides["item_statistics"] == "item"
    assert sides["age"] == sides["statistics"] == sides["closeness"] == "pair"
    assert {column.name for column in store.live_columns.of("dense", "pair")} == {
        *("item_statistics", "statistics", "closeness")
    }


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
    changed = dataset.with_log(dataclasses.replace(log, user=user, item=item, signals=signals))
    before, after = FeatureStore.fit(dataset, settings), FeatureStore.fit(changed, settings)
    early = log.take(slice(0, cut))
    requests, items = requests_of(early), torch.from_numpy(early.item).long()
    assert bool((before.as_of(requests.time) <= requests.time).all())
    # Scales are of the whole log; the raw columns are not.
    for store in (before, after):
        for made in store.families.values():
            if made.standardised:
                made.scale({c.name: Scale.none(c.size) for c in made.columns if c.name in made.standardised})
    now, then = before.costly_columns(requests, items), after.costly_columns(requests, items)
    for name in ("request_statistics", "item_statistics", "statistics"):
        assert torch.equal(now[name], then[name]), name
    assert torch.equal(last_engaged(before, requests), last_engaged(after, requests))


def last_engaged(store, requests):
    return store.request_columns(requests)["last_engaged"]


def test_behaviours_are_the_last_clicks_newest_first():
    dataset = made_up(200)
    log = dataset.log
    store = FeatureStore.fit(dataset, FeatureSettings(refresh_ms=0, behaviours=5))
    got = last_engaged(store, requests_of(log)).numpy()
    for row in range(len(log)):
        mine = (log.user == log.user[row]) & (log.signals["click"] == 1) & (log.time < log.time[row])
        last = log.item[mine][::-1][:5] + 1
        assert got[row].tolist() == [*last, *[0] * (5 - len(last))]


def test_several_lists_each_of_its_signal():
    dataset = made_up(300)
    log = dataset.log
    settings = FeatureSettings(refresh_ms=0, behaviours=5, lists=("like", "click", "share"))
    made = FeatureStore.fit(dataset, settings).request_columns(requests_of(log))
    for row in range(len(log)):
        for name in ("like", "click"):
            mine = (log.user == log.user[row]) & (log.signals[name] == 1) & (log.time < log.time[row])
            last = log.item[mine][::-1][:5] + 1
            assert made[f"last_{name}"][row].tolist() == [*last, *[0] * (5 - len(last))]
    assert not made["last_share"].any()
    with pytest.raises(ValueError, match=r"lists.*\n.*expected one of engaged, impression"):
        FeatureSettings(lists=("likes",))


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
    assert last_engaged(store, requests_of(first)).tolist() == [[10, 5, 0]]


def test_after_the_log_every_moment_is_its_end():
    dataset = made_up()
    store = FeatureStore.fit(dataset)
    end = int(dataset.log.time[-1])
    item, user = torch.arange(ITEMS), torch.zeros(ITEMS, dtype=torch.int64)
    soon, late = (
        store.costly_columns(Requests(user, torch.full((ITEMS,), end + wait)), item) for wait in (1, 90 * 24 * HOUR)
    )
    mixed = torch.full((ITEMS,), end + 1)
    mixed[0] = end - 1
    some = store.costly_columns(Requests(user, mixed), item)
    for name, column in soon.items():
        assert torch.equal(column, late[name])
        assert torch.equal(some[name][1:], column[1:])


def test_unknown_users_items_of_no_author_and_empty_batches_are_served():
    store = FeatureStore.fit(made_up())
    requests = Requests(torch.tensor([-1, 3]), torch.tensor([1_650_000_000_000, 1_750_000_000_000]))
    made = store.request_columns(requests)
    assert made["user"][0] == 0
    pairs = store.pair_columns(requests, made, torch.tensor([0, 2, 2]), torch.tensor([0, 30]), live=True)
    assert bool(torch.isfinite(pairs["statistics"]).all())
    nobody = Requests(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    empty = store.row_columns(nobody, torch.zeros(0, dtype=torch.int64))
    assert empty.keys() == {column.name for column in store.columns}
    assert all(len(column) == 0 for column in empty.values())


def test_item_codes_and_bags_of_categories():
    dataset = made_up()
    catalogue = dataclasses.replace(
        dataset.catalogue,
        category=Jagged(np.array([0, 2, *[2] * (ITEMS - 2), 3]), np.array([3, 1, 0], np.int32)),
    )
    store = FeatureStore.fit(dataclasses.replace(dataset, catalogue=catalogue))
    items = store.families["items"]
    assert isinstance(items, ItemCodes)
    assert items.categories.size == 5
    assert items.categories.codes.tolist() == [4, 2, 1]
    every = torch.arange(ITEMS)
    made = store.item_columns(every)
    assert made["item"].tolist() == list(range(1, ITEMS + 1))
    assert made["author"].tolist() == (catalogue.author + 1).tolist()
    assert made["category"].tolist() == [4, *[0] * (ITEMS - 2), 1]
    assert torch.equal(store.item_code("duration", every), made["duration"])
    assert store.item_code("city", every).tolist() == [0] * ITEMS


def test_state_is_tensors_and_json():
    store = FeatureStore.fit(made_up())
    state = store.state()
    assert all(isinstance(t, torch.Tensor) and t.is_contiguous() for t in state.tensors.values())
    again = FeatureStore.from_state(State(state.tensors, json.loads(json.dumps(state.facts))))
    assert again.columns == store.columns
    assert again.live_columns == store.live_columns


def test_a_family_is_one_class():
    """Registered, it is fitted, kept, and asked for its columns by training and serving."""

    @family
    class Parity(Family):
        name = "parity"
        columns = (Column("parity", "item", "code", 3),)

        @classmethod
        def fit(cls, dataset, settings, earlier=None):
            return cls()

        def item(self, item):
            return {"parity": (item % 2 + 1).int()}

        def state(self):
            return State()

        @classmethod
        def from_state(cls, state):
            return cls()

    try:
        dataset = made_up()
        fitted = FeatureStore.fit(dataset)
        store = FeatureStore.from_state(fitted.state())
    finally:
        FAMILIES.remove("parity")
    assert store.columns["parity"].size == 3
    assert store.item_columns(torch.tensor([4, 7]))["parity"].tolist() == [1, 2]
    rows = torch.arange(9)
    made = TrainingSet(store, dataset.log).columns(rows)
    assert made["parity"].tolist() == (dataset.log.item[:9] % 2 + 1).tolist()
    with pytest.raises(KeyError, match=r"feature: expected one of age, .*, got 'parity'"):
        FeatureStore.from_state(fitted.state())


def test_an_empty_log_is_refused():
    dataset = made_up()
    with pytest.raises(ValueError, match="at least 1 row"):
        FeatureStore.fit(dataset.with_log(dataset.log.take(slice(0, 0))))


def test_content_similarity_to_the_last_clicks():
    dataset = made_up(300)
    store = FeatureStore.fit(dataset, FeatureSettings(refresh_ms=0, behaviours=5, content_dim=3))
    family, log = store.families["content"], dataset.log
    content = family.vectors.double().numpy()
    assert np.allclose(np.linalg.norm(content, axis=1), 1, rtol=0, atol=8 * 2.0**-24)
    requests, item = requests_of(log), torch.from_numpy(log.item).long()
    scale = family.standardise
    family.standardise = Scale.none(2)
    got = store.costly_columns(requests, item)["closeness"].numpy()
    for row in range(len(log)):
        mine = (log.user == log.user[row]) & (log.signals["click"] == 1) & (log.time < log.time[row])
        last = log.item[mine][::-1][:5]
        similar = content[last] @ content[log.item[row]] if len(last) else np.zeros(1)
        assert got[row] == pytest.approx([similar.mean(), similar.max()], rel=0, abs=(5 + 3 + 3) * 2.0**-24)
    family.standardise = scale
    scaled = store.costly_columns(requests, item)["closeness"].double().numpy()
    assert scaled == pytest.approx((got - got.mean(0)) / got.std(0), abs=1e-4)


def test_content_keeps_its_meaning_in_a_warm_start():
    dataset = made_up(100)
    first = FeatureStore.fit(dataset, FeatureSettings(content_dim=3))
    vector = dataset.catalogue.vector.copy()
    vector[-9:] = 1
    grown = dataclasses.replace(dataset.catalogue, vector=vector)
    later = FeatureStore.fit(dataclasses.replace(dataset, catalogue=grown), FeatureSettings(content_dim=3), first)
    fresh = FeatureStore.fit(dataclasses.replace(dataset, catalogue=grown), FeatureSettings(content_dim=3))
    old, new, other = (store.item_columns(torch.arange(ITEMS - 9))["content"] for store in (first, later, fresh))
    assert torch.equal(old, new)
    assert not torch.allclose(old, other, atol=1e-3)
    wider = dataclasses.replace(dataset.catalogue, vector=np.ones((ITEMS, 5), np.float32))
    with pytest.raises(ValueError, match=r"catalogue\.vector: expected 4 columns, as before, got 5"):
        FeatureStore.fit(dataclasses.replace(dataset, catalogue=wider), FeatureSettings(content_dim=3), first)


def test_a_content_vector_that_is_not_finite_is_refused():
    dataset = made_up()
    dataset.catalogue.vector[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"catalogue\.vector: expected finite values"):
        FeatureStore.fit(dataset)


@pytest.mark.parametrize("days", [1, 7, 30, 400])
def test_nothing_ages_after_the_log(days):
    """A later request has the columns of one at the log's end, but for the clock's."""
    dataset = made_up()
    newest = np.full(ITEMS, int(dataset.log.time[-1]) - 2 * HOUR)
    dataset = dataclasses.replace(dataset, catalogue=dataclasses.replace(dataset.catalogue, publish_time=newest))
    store = FeatureStore.fit(dataset, FeatureSettings())
    user, item = torch.arange(8), torch.arange(16) % ITEMS
    offsets = torch.arange(9) * 2
    at_end = Requests(user, torch.full((8,), store.end))
    later = Requests(user, torch.full((8,), store.end + days * 24 * HOUR))
    made = []
    for requests in (at_end, later):
        columns = store.request_columns(requests)
        made.append({**columns, **store.pair_columns(requests, columns, offsets, item, live=False)})
    for name, column in made[0].items():
        if name not in ("hour", "weekday"):
            assert torch.equal(column, made[1][name]), name
    assert bool((made[0]["age"] > 0).any())
    earlier = Requests(user, torch.full((8,), store.end - HOUR))
    young = store.pair_columns(earlier, store.request_columns(earlier), offsets, item, live=True)["age"]
    assert not torch.equal(young, made[0]["age"])
