import os
from pathlib import Path

import numpy as np
import pytest
import torch

from headrace.data import read_kuairand, split_by_time
from headrace.evaluation.ranking import auc, calibration
from headrace.features import TrainingSet
from headrace.ranking import PreRankerSettings, RankerSettings, train_ranker
from headrace.ranking.negatives import Unshown
from headrace.ranking.samples import Samples
from headrace.training.build import Build
from headrace.types import Requests

DATA = Path(os.environ.get("HEADRACE_DATA", Path(__file__).parents[4] / "shared" / "data")) / "kuairand-pure"


def smoothed_log_odds(key, click, size):
    prior = click.mean()
    rate = (np.bincount(key, click, size) + 10 * prior) / (np.bincount(key, minlength=size) + 10)
    return np.log(rate / (1 - rate))


@pytest.mark.rare
@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason=f"KuaiRand-Pure is not at {DATA}")
def test_models_beat_the_naive_rates_on_the_last_two_days():
    """Everything is frozen at the cut: the features, as a snapshot would serve them, and the rates."""
    dataset = read_kuairand(DATA)
    train, test = split_by_time(dataset.log, test_days=2)
    cut = dataset.with_log(train)
    build = Build(cut)
    samples = Samples.of(build.store, train, Unshown(0, len(dataset.catalogue)), 0.1)
    click, label = (train.signals["click"] == 1).astype(float), test.signals["click"] == 1
    item, user, tab = (
        smoothed_log_odds(old, click, size)[new]
        for old, new, size in (
            (train.item, test.item, len(dataset.catalogue)),
            (train.user, test.user, len(dataset.users)),
            (train.context["tab"], test.context["tab"], 32),
        )
    )
    naive = max(auc(label, score) for score in (item, user, item + user, item + user + tab))
    asked = TrainingSet(build.store, test)
    offsets = torch.arange(len(test) + 1)
    found = {}
    for name, settings in (
        ("ranker", RankerSettings()), ("preranker", PreRankerSettings()), ("deepfm", RankerSettings(model="deepfm"))
    ):  # fmt: skip
        model = train_ranker(build, settings, samples=samples)
        p_click = model.predict(asked.requests, offsets, asked.item)["p_click"]
        assert isinstance(asked.requests, Requests)
        found[name] = auc(label, p_click.numpy())
        assert found[name] > naive + 0.01
        assert calibration(label, p_click.numpy()) == pytest.approx(1, abs=0.05)
    # three seeds of one network are 0.001 apart
    assert found["ranker"] > found["deepfm"] - 0.002
