"""One small engine, built once, for every test that only asks questions of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from headrace.build import build
from headrace.data import Dataset, generate, split_by_time
from headrace.serving import Engine
from headrace.settings import Settings

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="session")
def small_settings() -> Settings:
    quotas = {"itemcf": 60, "two_tower": 80, "author_latest": 40, "popular_in_category": 40, "popular": 60}
    channels = {name: {"quota": quota} for name, quota in quotas.items()}
    # Enough passes to learn something, too few to wait for.
    train = {"epochs": 3, "batch_size": 512, "embedding_learning_rate": 5e-3}
    return Settings.model_validate(
        {
            "channels": channels,
            "merge": {"total": 200},
            "page": {"ranked": 100, "shown": 20},
            "preranker": {"train": train},
            "ranker": {"train": train},
        }
    )


@pytest.fixture(scope="session")
def small_log() -> Dataset:
    return generate(users=120, items=400, events=6_000, seed=1).dataset


@pytest.fixture(scope="session")
def snapshot(small_log: Dataset, small_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engine") / "snapshot"
    train, _ = split_by_time(small_log.log, 2.0)
    build(small_log.with_log(train), small_settings, folder)
    return folder


@pytest.fixture
def engine(snapshot: Path) -> Engine:
    """A fresh engine: tests may record exposures in it."""
    return Engine.load(snapshot)
