"""Any log is built and serves, or is refused by name before training, and the old snapshot stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dirty
import numpy as np
import pytest
import tiny
from hypothesis import HealthCheck, given, settings

import headrace.training.build as training
from headrace.build import build
from headrace.data import read
from headrace.settings import Settings

HEALTH = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
WHOLE = Settings.model_validate(
    tiny.TINY.model_dump(mode="json")
    | {
        "channels": {
            **{name: {"quota": 20} for name in ("itemcf", "author_latest", "popular_in_category", "popular", "swing")},
            "two_tower": {"quota": 20, "hidden": 4, "dim": 4},
            "matrix_completion": {"quota": 20, "dim": 4},
        }
    }
)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels of the trainings that were begun."""
    begun: list[str] = []
    fit = training.fit

    def noted(*parts: Any, label: str, **more: Any) -> Any:
        begun.append(label)
        return fit(*parts, label=label, **more)

    monkeypatch.setattr(training, "fit", noted)
    return begun


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a snapshot that must not be lost."""
    made = tmp_path_factory.mktemp("dirty")
    click = (np.arange(tiny.ROWS) % 3 == 0).astype(np.int8)
    build(read(tiny.write(made / "plain", click=click)), tiny.TINY, made / "snapshot")
    return made


@settings(max_examples=30, suppress_health_check=HEALTH, derandomize=True)
@given(drawn=dirty.logs())
def test_any_log_is_built_or_refused(drawn: dict[str, Any], folder: Path, trained: list[str]) -> None:
    dirty.held(drawn, folder, tiny.TINY, trained)


@pytest.mark.rare
@settings(max_examples=300, suppress_health_check=HEALTH)
@given(drawn=dirty.logs())
def test_any_log_is_built_or_refused_with_every_channel(
    drawn: dict[str, Any], folder: Path, trained: list[str]
) -> None:
    dirty.held(drawn, folder, WHOLE, trained)


PLAIN = {
    "rows": 60, "seed": 0, "user": "few", "item": "many", "time": "days", "columns": {"click": "some"},
    "repeats": False, "missing": None, "unknown": None, "catalogue": None, "history": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("column", "makers", "nothing"),
    [
        ("user", dirty.IDS, {"uint64", "null", "NUL", "float", "bytes"}),
        ("item", dirty.IDS, {"uint64", "null", "NUL", "float", "bytes"}),
        ("time", dirty.TIMES, {"mixed units", "numbers", "negative", "null", "float"}),
    ],
)
def test_what_can_be_read(column: str, makers: dict[str, Any], nothing: set[str], tmp_path: Path) -> None:
    """Every way to fill a required column, once: those that leave no row, or are refused."""

    def rows(how: str) -> int:
        try:
            return len(read(dirty.write(tmp_path / "log", PLAIN | {column: how})).log)
        except ValueError as error:
            return 0 if f"{column}: expected" in str(error) else -1

    kept = {how: rows(how) for how in makers}
    assert {how for how, count in kept.items() if count == 0} == nothing
    assert min(kept.values()) == 0
    assert all(count > 30 for how, count in kept.items() if how not in nothing), kept
