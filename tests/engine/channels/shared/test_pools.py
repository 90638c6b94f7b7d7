"""Pools: one model, several lists, each of some items, for some users, with a quota of its own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import TINY

from headrace.build import _parts, build
from headrace.channels.matrix_completion import MatrixCompletion
from headrace.channels.shared.pools import Pool
from headrace.channels.two_tower import TwoTower
from headrace.data import generate
from headrace.serving import Engine
from headrace.settings import Settings
from headrace.state import State

USERS, ITEMS = 7, 31
POOLS = {
    "new": {"quota": 5, "days": 4},
    "good": {"quota": 6, "quality": 1.05},
    "young": {"quota": 3, "quality": 1.0, "users": {"age": "young"}},
}


def world(small: Any, seed: int = 11) -> Any:
    made = small.build([small.random_log(seed, rows=600)], USERS, small.random_catalogue(seed))
    ages = np.arange(USERS, dtype=np.int32) % 3 - 1
    users = dataclasses.replace(made.dataset.users, features={"age": ages}, names={"age": ["old", "young"]})
    return dataclasses.replace(made, dataset=dataclasses.replace(made.dataset, users=users))


@pytest.mark.parametrize(("kind", "quick"), [(MatrixCompletion, {"epochs": 1}), (TwoTower, {"dim": 4, "hidden": 4})])
def test_each_pool_has_its_items_in_the_models_order_for_its_users(small: Any, kind: Any, quick: Any) -> None:
    made = world(small)
    settings = kind.Settings.model_validate({**quick, "pools": POOLS})
    assert settings.quotas == {"": settings.quota, "new": 5, "good": 6, "young": 3}
    fitted = kind.fit(made, settings)
    log, published = made.dataset.log, made.dataset.catalogue.publish_time
    when = np.where(published >= 0, published, [log.time[log.item == i].min(initial=2**60) for i in range(ITEMS)])

    def rate(rows: Any) -> Any:
        clicked = log.signals["click"] == 1
        mean = clicked[rows].mean()
        each = [log.item[rows] == i for i in range(ITEMS)]
        return np.array([(clicked[rows][one].sum() + 20 * mean) / (one.sum() + 20) / mean for one in each])

    young = made.dataset.users.features["age"] == 1
    wanted = {
        "new": when >= log.time[-1] + 1 - 4 * small.DAY,
        "good": rate(slice(None)) >= 1.05,
        "young": rate(young[log.user]) >= 1.0,
    }
    requests = small.requests([*range(USERS), -1])
    whole = small.lists(fitted.recall(requests, ITEMS))
    for name, part in fitted.parts().items():
        if not name:
            assert part is fitted
            continue
        assert (part.name, part.source, part.personalised) == (f"{kind.name}/{name}", fitted, True)
        assert 0 < wanted[name].sum() < ITEMS
        for user, (mine, every) in enumerate(zip(small.lists(part.recall(requests, 4)), whole, strict=True)):
            gets = name != "young" or (user < USERS and young[user])
            assert mine == [pair for pair in every if wanted[name][pair[0]]][: 4 * gets]
    held = fitted.state()
    again = kind.from_state(State(dict(held.tensors), json.loads(json.dumps(held.facts))))
    for name, part in again.parts().items():
        assert small.lists(part.recall(requests, 9)) == small.lists(fitted.parts()[name].recall(requests, 9))


@pytest.mark.parametrize(
    ("pools", "words"),
    [
        ({"New pool": {}}, "pools: expected names of a to z, 0 to 9 and _, got 'New pool'"),
        ({"x": {"users": {"sex": "f"}}}, r"pools\.x\.users: expected features of the users \(age\), got 'sex'"),
        ({"x": {"users": {"age": "9"}}}, r"pools\.x\.users\.age: expected one of old, young, got '9'"),
    ],
)
def test_a_pool_that_cannot_be_is_refused_before_training(small: Any, pools: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MatrixCompletion.fit(world(small), MatrixCompletion.Settings.model_validate({"pools": pools}))


def test_a_pool_without_items_brings_none(small: Any) -> None:
    settings = MatrixCompletion.Settings.model_validate({"pools": {"none": {"quality": 99}}, "epochs": 1})
    part = MatrixCompletion.fit(world(small), settings).parts()["none"]
    assert part.recall(small.requests([0, 1, -1]), 5).counts.tolist() == [0, 0, 0]


def test_pools_in_an_engine(tmp_path: Path) -> None:
    told = TINY.model_dump(mode="json")
    pools = {"new": {"quota": 7, "days": 5}, "women": {"quota": 4, "users": {"gender": "f"}}}
    told["channels"]["matrix_completion"] = {"epochs": 1, "pools": pools}
    made = generate(users=40, items=300, events=2_500, seed=1).dataset
    build(made, Settings.model_validate(told), tmp_path / "snapshot")
    engine = Engine.load(tmp_path / "snapshot")
    names = ["itemcf", "matrix_completion/new", "matrix_completion/women", "popular"]
    assert [channel.name for channel in engine.funnel.channels] == names
    assert isinstance(engine.funnel.channels[1], Pool)
    trace = engine.funnel.run(engine.requests(np.arange(40)), 10)
    assert int(trace.recalled["matrix_completion/new"].counts.max()) == 7
    women = torch.from_numpy(made.users.features["gender"] == 0)
    assert torch.equal(trace.recalled["matrix_completion/women"].counts > 0, women)
    pages = engine.recommend([1, 2, 3, 4], 40)
    assert any("matrix_completion/new" in found for page in pages for found in page.channels)
    assert "matrix_completion" in _parts(engine)
    assert not any("/" in name for name in _parts(engine))
    overlay = {"channels": {"matrix_completion": {"quota": 9, "pools": {"new": {"quota": 0}}}}}
    other = Engine.load(tmp_path / "snapshot", overlay=overlay)
    assert [channel.name for channel in other.funnel.channels] == [
        "itemcf", "matrix_completion", "matrix_completion/women", "popular"
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"channels\.matrix_completion\.pools\.new\.days: is fixed"):
        Engine.load(tmp_path / "snapshot", overlay={"channels": {"matrix_completion": {"pools": {"new": {"days": 2}}}}})
