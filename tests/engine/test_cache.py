"""The cache in an engine: what ranked high comes back until it is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import TINY

from headrace.build import build
from headrace.data import generate
from headrace.serving import Engine
from headrace.settings import Settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("cache") / "snapshot"
    told = TINY.model_dump(mode="json")
    told["channels"] |= {"cache": {"quota": 30, "top": 12, "recalls": 2}}
    build(generate(users=40, items=200, events=1_500, seed=1).dataset, Settings.model_validate(told), out)
    return out


def test_what_ranked_high_comes_back_until_it_is_shown_or_came_often_enough(folder: Path) -> None:
    engine = Engine.load(folder)
    (first,) = engine.recommend([3], 12)
    assert not any("cache" in names for names in first.channels)
    engine.confirm(first, first.items[:4])
    (second,) = engine.recommend([3], 40)
    cached = {item for item, names in zip(second.items, second.channels, strict=True) if "cache" in names}
    assert cached
    assert not cached & set(first.items[:4])
    kept = engine.funnel.channels[0].recall(engine.requests(engine.users.rows([3])), 99)
    assert not set(engine.items.external(kept.item.numpy()).tolist()) & set(first.items[:4])
    (third,) = engine.recommend([3], 40)
    assert any("cache" in names for names in third.channels)
    (fourth,) = engine.recommend([3], 40)
    again = {item for item, names in zip(fourth.items, fourth.channels, strict=True) if "cache" in names}
    assert not again & cached


def test_unknown_users_and_other_users_change_nothing(folder: Path) -> None:
    engine = Engine.load(folder)
    engine.recommend([999_999, 4], 12)
    (page,) = engine.recommend([5], 12)
    assert not any("cache" in names for names in page.channels)
