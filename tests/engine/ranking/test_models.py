import dataclasses
import json

import numpy as np
import pytest
import torch

from headrace.data import Catalogue, Dataset, IdMap, InteractionLog, Jagged, Users
from headrace.features import FeatureStore
from headrace.ranking import PreRanker, PreRankerSettings, Ranker, RankerSettings, train_preranker, train_ranker
from headrace.training.loop import TrainSettings
from headrace.types import Candidates, Requests

USERS, ITEMS, ROWS = 40, 60, 3000
END = 1_650_000_000_000 + 20 * 86_400_000


def made_up(items=ITEMS, seed=0):
    """Clicks that depend on the item alone: item i is clicked with probability i / ITEMS."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, USERS, ROWS).astype(np.int32), rng.integers(0, ITEMS, ROWS).astype(np.int32)
    click = (rng.random(ROWS) < item / ITEMS).astype(np.int8)
    like = np.where(rng.random(ROWS) < 0.3, click, 0).astype(np.int8)
    time = np.sort(rng.integers(0, END - 1_650_000_000_000, ROWS)) + 1_650_000_000_000
    length = rng.integers(5_000, 60_000, items).astype(np.int32)
    duration = length[item]
    play = np.where(click == 1, duration * rng.random(ROWS), 0).astype(np.int32)
    log = InteractionLog(user, item, time, {"click": click, "like": like}, play, duration)
    catalogue = Catalogue(
        IdMap(np.arange(items)),
        author=(np.arange(items) % 7).astype(np.int32),
        category=Jagged(np.arange(items + 1), (np.arange(items) % 5).astype(np.int32)),
        duration_ms=length,
    )
    users = Users(IdMap(np.arange(USERS)), {"age": (np.arange(USERS) % 3).astype(np.int32)})
    return Dataset("made up", users, catalogue, log)


TRAIN = TrainSettings(epochs=2, batch_size=256, learning_rate=3e-3, embedding_learning_rate=3e-3)


@pytest.fixture(scope="module")
def dataset():
    return made_up()


@pytest.fixture(scope="module")
def store(dataset):
    return FeatureStore.fit(dataset)


@pytest.fixture(scope="module")
def ranker(dataset, store):
    return train_ranker(dataset, store, RankerSettings(train=TRAIN))[0]


@pytest.fixture(scope="module")
def preranker(dataset, store):
    return train_preranker(dataset, store, PreRankerSettings(train=TRAIN))[0]


def ask(counts, seed=0):
    """Requests after the log, request b with counts[b] distinct candidates."""
    rng = np.random.default_rng(seed)
    offsets = torch.tensor([0, *counts]).cumsum(0)
    picks = [rng.permutation(ITEMS)[:count] for count in counts]
    item = torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *picks]))
    user = torch.from_numpy(rng.integers(-1, USERS, len(counts)))
    requests = Requests(user, torch.full((len(counts),), END + 1))
    n = len(item)
    return requests, Candidates(offsets, item, torch.zeros(n), torch.ones(n, dtype=torch.int64))


def one(requests, candidates, b):
    start, stop = candidates.offsets[b : b + 2].tolist()
    part = candidates.take(torch.arange(start, stop), torch.tensor([0, stop - start]))
    return Requests(requests.user[b : b + 1], requests.time[b : b + 1]), part


def test_ranker_learns_what_is_clicked_and_scores_every_target(ranker):
    requests, candidates = ask([ITEMS])
    scored = ranker.score(requests, candidates)
    assert sorted(scored.columns) == ["p_click", "p_completion", "p_finish", "p_like", "play_time"]
    assert torch.equal(scored.item, candidates.item)
    assert scored.score.dtype == torch.float32
    assert np.corrcoef(scored.columns["p_click"], candidates.item)[0, 1] > 0.8
    assert bool((scored.columns["play_time"] > 0).all())


@pytest.mark.parametrize("counts", [[1], [7, 0, 16], [0, 0], [], [33, 60, 1, 15]])
def test_scores_do_not_depend_on_the_batch(ranker, preranker, counts):
    requests, candidates = ask(counts)
    for score in (ranker.score, lambda r, c: preranker.score(r, c, keep=ITEMS)):
        whole = score(requests, candidates)
        assert whole.counts.tolist() == counts
        for b in range(len(counts)):
            alone, part = score(*one(requests, candidates, b)), one(requests, whole, b)[1]
            assert torch.equal(alone.item, part.item)
            # Sigmoids and powers may round otherwise elsewhere in a batch: at most 16 units in the last place in all.
            torch.testing.assert_close(alone.score, part.score, rtol=2**-19, atol=0)


def test_preranker_keeps_the_best_of_each_request(preranker):
    requests, candidates = ask([33, 0, 5, 60])
    everything = preranker.score(requests, candidates, keep=ITEMS)
    kept = preranker.score(requests, candidates, keep=10)
    assert kept.counts.tolist() == [10, 0, 5, 10]
    for b in range(4):
        want, got = one(requests, everything, b)[1], one(requests, kept, b)[1]
        score, item = want.score.double().numpy(), want.item.numpy()
        best = np.lexsort((item, -score))[:10]
        assert got.item.tolist() == item[best].tolist()
    with pytest.raises(ValueError, match="keep"):
        preranker.score(requests, candidates, keep=0)


def test_cold_cache_equals_warm_cache_and_each_part_runs_as_often_as_it_must(preranker):
    """The item tower once for each item of the catalogue, the others once for each request or candidate."""
    requests, candidates = ask([40, 20, 60])
    preranker.clear_cache()
    start = dataclasses.replace(preranker.inferences)
    cold = preranker.score(requests, candidates, keep=ITEMS)
    warm = preranker.score(requests, candidates, keep=ITEMS)
    assert preranker.inferences.item - start.item == ITEMS
    assert preranker.inferences.user - start.user == 2 * 3
    assert preranker.inferences.cross - start.cross == 2 * 120
    assert preranker.inferences.upper - start.upper == 2 * 120
    assert torch.equal(cold.item, warm.item)
    assert torch.equal(cold.score, warm.score)


@pytest.mark.parametrize("kind", [Ranker, PreRanker])
def test_state_round_trip(kind, ranker, preranker, store):
    model = ranker if kind is Ranker else preranker
    tensors, meta = model.state()
    assert all(t.is_contiguous() for t in tensors.values())
    assert len({t.data_ptr() for t in tensors.values()}) == len(tensors)
    again = kind.from_state(tensors, json.loads(json.dumps(meta)), store)
    requests, candidates = ask([7, 31])
    assert torch.equal(again.score(requests, candidates).score, model.score(requests, candidates).score)


def test_training_is_the_same_for_the_same_seed_and_resumes(dataset, store, ranker, tmp_path):
    again, _ = train_ranker(dataset, store, RankerSettings(train=TRAIN), checkpoint=tmp_path / "ranker.pt")
    resumed, _ = train_ranker(dataset, store, RankerSettings(train=TRAIN), checkpoint=tmp_path / "ranker.pt")
    for name, tensor in ranker.state()[0].items():
        assert torch.equal(tensor, again.state()[0][name]), name
        assert torch.equal(tensor, resumed.state()[0][name]), name


def test_down_sampled_clicks_are_calibrated_back(dataset, store):
    settings = RankerSettings(train=TRAIN, negative_rate={"click": 0.2})
    model, _ = train_ranker(dataset, store, settings)
    log = dataset.log
    requests = Requests(torch.from_numpy(log.user).long(), torch.from_numpy(log.time))
    predicted = model.predict(requests, None, torch.from_numpy(log.item).long())["p_click"].mean().item()
    assert predicted == pytest.approx((log.signals["click"] == 1).mean(), abs=0.05)


@pytest.mark.parametrize("kind", ["ranker", "preranker"])
def test_warm_start_keeps_known_rows_where_the_tables_grow_and_move(kind, ranker, preranker, dataset):
    grown = made_up(items=ITEMS + 5)
    store = FeatureStore.fit(grown)
    # The old item 0 .. 59 are now rows 5 .. 64; the first five are new.
    maps = {"item": torch.cat([torch.full((5,), -1), torch.arange(ITEMS)])}
    still = TrainSettings(epochs=1, batch_size=4096, learning_rate=1e-12, embedding_learning_rate=1e-12)
    if kind == "ranker":
        old = ranker.network
        new = train_ranker(grown, store, RankerSettings(train=still), initial=ranker, maps=maps)[0].network
    else:
        old = preranker.network
        new = train_preranker(grown, store, PreRankerSettings(train=still), initial=preranker, maps=maps)[0].network
    rows = torch.arange(1, ITEMS + 1)
    assert torch.allclose(new.item_fields.one(rows + 5, 0), old.item_fields.one(rows, 0), atol=1e-6)
    assert torch.allclose(new.first.candidate.weight, old.first.candidate.weight, atol=1e-6)
