"""What ranking is taught with: the rows before those kept back, and unshown items that are new each epoch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headrace.data import generate
from headrace.features import FeatureStore, TrainingSet
from headrace.ranking import RankerSettings, train_ranker
from headrace.ranking.negatives import Unshown, as_shown
from headrace.ranking.samples import Epoch, Samples
from headrace.ranking.settings import RankerTrain
from headrace.ranking.targets import labels_of
from headrace.training.build import Build

ITEMS = 80
DATASET = generate(40, ITEMS, 1500, seed=2).dataset
STORE = FeatureStore.fit(DATASET)


@pytest.fixture(scope="module")
def samples() -> Samples:
    return Samples.of(STORE, DATASET.log, Unshown(1.5, ITEMS, seed=3), 0.1)


def epoch(samples: Samples, number: int) -> Epoch:
    return Epoch(samples, labels_of(samples.log, samples.names), samples.trained, 1.5, number)


def test_draws_are_new_each_epoch_and_the_same_for_the_same() -> None:
    rows, unshown = np.arange(10, 900), Unshown(2.0, 50, seed=1)
    first, again, second = (unshown.draw(rows, number) for number in (0, 0, 1))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[1], second[1])
    source, item = first
    assert len(source) == len(item) == 2 * len(rows)
    assert (np.diff(source) >= 0).all()
    assert (source.min(), source.max()) >= (10, 0)
    assert source.max() < 900
    # every item as often as any other
    assert np.bincount(item, minlength=50).min() > 0.5 * len(item) / 50
    assert not np.array_equal(item, Unshown(2.0, 50, seed=2).draw(rows, 0)[1])
    assert len(Unshown(0.0, 50).draw(rows, 0)[0]) == 0


def test_a_log_that_does_not_say_was_shown() -> None:
    log = generate(20, 50, 100, seed=2).dataset.log
    del log.signals["impression"]
    assert (as_shown(log).signals["impression"] == 1).all()
    log.signals["impression"] = np.resize(np.array([-1, 0, 1], np.int8), 100)
    assert as_shown(log).signals["impression"][:6].tolist() == [1, 0, 1, 1, 0, 1]


def test_a_drawn_row_has_the_columns_that_would_have_been_served(samples: Samples) -> None:
    """Those of its request as it was, with the other item; it is known of it alone that it was not shown."""
    made = epoch(samples, 4)
    source, item = samples.unshown.draw(samples.trained, 4)
    assert len(made) == len(samples.trained) + len(source)
    index = torch.tensor([0, len(samples.trained) + 7, 5, len(samples.trained) + 2])
    batch = made.batch(index)
    for name, column in TrainingSet(STORE, samples.log, samples.trained[[0, 5]]).columns(torch.arange(2)).items():
        assert torch.equal(batch.columns[name][:2], column), name
    asked = samples.rows.requests.take(torch.from_numpy(source[[7, 2]]))
    for name, column in STORE.row_columns(asked, torch.from_numpy(item[[7, 2]])).items():
        assert torch.equal(batch.columns[name][2:], column), name
    shown = samples.names.index("impression")
    assert batch.value[:, shown].tolist() == [1, 1, 0, 0]
    assert batch.known[2:].sum(1).tolist() == [1, 1]
    assert batch.known[2:, shown].tolist() == [1, 1]


def test_what_is_kept_back_is_the_last_and_trains_nothing_before_the_end(samples: Samples) -> None:
    assert samples.split is not None
    assert samples.trained.max() < samples.held.min()
    assert len(samples.trained) + len(samples.held) == len(DATASET.log)
    build = Build(DATASET)
    build.store = STORE
    train_ranker(build, RankerSettings(model="deepfm", train=RankerTrain(epochs=2)), samples=samples)
    first, last = build.fits
    assert first.rows == int(2.5 * len(samples.trained))
    assert last.rows == len(samples.held) + int(1.5 * len(samples.held))
    assert first.network == "DeepFM"
    assert [sorted(found) for _, found in first.validations] == [["click AUC", "loss"]]


def test_targets_that_are_left_out_draw_nothing(samples: Samples) -> None:
    build = Build(DATASET)
    build.store = STORE
    settings = RankerSettings(model="deepfm", train=RankerTrain(), leave_out=("impression",))
    ranker = train_ranker(build, settings, samples=samples)
    assert "impression" not in ranker.heads.targets
    assert build.fits[0].rows == len(samples.trained)
