"""A channel that the package knows nothing of: the one in CONTRIBUTING.md, built, saved, loaded and served."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from headrace.build import build
from headrace.channels import CHANNELS
from headrace.data import Dataset
from headrace.doctor import print_report
from headrace.serving import Engine
from headrace.settings import Settings, load_settings
from headrace.snapshot import SnapshotError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module that holds the example of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text[text.index("## To add a recall channel") :]
    example = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert example
    (tmp_path / "newest_items.py").write_text(example[1])
    monkeypatch.syspath_prepend(tmp_path)
    yield "newest_items"
    CHANNELS.remove("newest")
    sys.modules.pop("newest_items", None)


def served(small_log: Dataset, small_settings: Settings, folder: Path) -> Engine:
    told = small_settings.model_dump()
    told["channels"]["newest"] = {"quota": 30, "kept": 50}
    built = build(small_log, Settings.model_validate(told), folder)
    assert built.left_out == {}
    engine = Engine.load(folder)
    users = engine.users.ids[:20].tolist()
    pages = engine.recommend(users)
    assert [page.items for page in pages] == [page.items for page in built.engine.recommend(users)]
    assert any("newest" in names for page in pages for names in page.channels)
    return engine


def test_it_is_built_saved_loaded_and_served(
    module: str, small_log: Dataset, small_settings: Settings, tmp_path: Path
) -> None:
    importlib.import_module(module)
    engine = served(small_log, small_settings, tmp_path / "snapshot")
    names = [channel.name for channel in engine.funnel.channels]
    assert names == sorted(names)
    own = engine.funnel.channels[names.index("newest")]
    with pytest.raises(ValueError, match="quota: expected at least 1, got 0"):
        own.recall(engine.requests(np.array([0])), 0)
    assert engine.settings.channels["newest"].quota == 30
    without = Engine.load(tmp_path / "snapshot", overlay={"channels": {"newest": {"quota": 0}}})
    assert "newest" not in [channel.name for channel in without.funnel.channels]
    CHANNELS.remove("newest")
    with pytest.raises(SnapshotError, match=r"snapshot: expected channels of author_latest, .*; got newest$"):
        Engine.load(tmp_path / "snapshot")


def test_an_entry_point_adds_it(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    point = importlib.metadata.EntryPoint("newest", module, "headrace.channels")

    def points(*, group: str) -> list[importlib.metadata.EntryPoint]:
        return [point] if group == "headrace.channels" else []

    monkeypatch.setattr(importlib.metadata, "entry_points", points)
    monkeypatch.setattr(CHANNELS, "_looked", False)
    importlib.invalidate_caches()
    assert "newest" in CHANNELS
    console = Console(record=True, width=160)
    print_report(console)
    assert "The newest items." in console.export_text()
    assert Settings().channels["newest"].quota == 0


def test_one_that_the_dataset_cannot_have_is_left_out(
    module: str, small_log: Dataset, small_settings: Settings, tmp_path: Path
) -> None:
    importlib.import_module(module)
    bare = replace(small_log, catalogue=replace(small_log.catalogue, publish_time=None, author=None))
    told = small_settings.model_dump()
    told["channels"]["newest"] = {"quota": 30}
    told["reranking"]["rules"] = ()
    built = build(bare, Settings.model_validate(told), tmp_path / "snapshot")
    assert built.left_out == {
        "author_latest": "catalogue.author: expected the author of some items, got none",
        "newest": "catalogue.publish_time: expected some, got none",
    }
    assert "newest" not in [channel.name for channel in Engine.load(tmp_path / "snapshot").funnel.channels]


def test_an_unknown_channel_is_named(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[channels.newer]\nquota = 3\n")
    with pytest.raises(
        ValueError, match=r"settings\.toml: channels: expected one of author_latest, .*two_tower.*, got 'newer'"
    ):
        load_settings(path)


def test_every_channel_of_the_package_is_on_the_page() -> None:
    page = (ROOT / "docs" / "channels.md").read_text()
    for name, kind in CHANNELS.items():
        if kind.__module__.startswith("headrace."):
            assert f"| `{name}` |" in page
