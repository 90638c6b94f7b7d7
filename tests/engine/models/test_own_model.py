"""A ranking network that the package knows nothing of: the one in CONTRIBUTING.md, trained, lowered, saved, loaded and
served."""

import importlib
import re
import sys
from pathlib import Path

import pytest
from model_worlds import DOUBLE, SETS, arguments_of, bounded, in_doubles, network_of, world
from network_oracle import close
from program_oracle import brute

from headrace.build import build
from headrace.models import MODELS
from headrace.models.lower import Lowered, prepare
from headrace.serving import Engine
from headrace.settings import Settings, load_settings

ROOT = Path(__file__).parents[3]


def example(language):
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text[text.index("## To add a ranking network") :]
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found
    return found[1]


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "two_layers_model.py").write_text(example("python"))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("two_layers_model")
    yield
    MODELS.remove("two_layers")
    del sys.modules["two_layers_model"]


@pytest.mark.parametrize("columns", SETS)
def test_it_becomes_a_program_of_the_same_logits(columns):
    columns, targets = SETS[columns]
    network, given = network_of("two_layers", columns, targets, {"units": 5}), world(columns)
    lowered = prepare(network, columns)
    assert isinstance(lowered, Lowered)
    value, error = bounded(lowered, given)
    assert bool(((value - in_doubles(network, given.each())).abs() <= DOUBLE * error).all())
    ready = lowered.with_items(given.items, 6)
    exact = brute(ready.program, arguments_of(ready, given))
    for backend in ("reference", "native"):
        logits = ready(given.request, given.pair, given.offsets, given.item, backend=backend)
        assert close(logits.numpy(), exact), backend


def test_it_is_trained_saved_loaded_and_served(small_log, small_settings, tmp_path):
    (tmp_path / "my.toml").write_text(example("toml"))
    ranker = load_settings(tmp_path / "my.toml").ranker
    assert ranker.network.model_dump() == {"embedding_dim": 8, "units": 32}
    told = {**small_settings.model_dump(), "ranker": ranker}
    told["preranker"] = {"model": "two_layers", "network": {"units": 16}}
    built = build(small_log, Settings.model_validate(told), tmp_path / "snapshot")
    engine = Engine.load(tmp_path / "snapshot")
    assert (engine.settings.ranker.model, engine.settings.preranker.network.units) == ("two_layers", 16)
    users = engine.users.ids[:20].tolist()
    pages = engine.recommend(users)
    assert all(len(page.items) == 20 for page in pages)
    assert [page.items for page in pages] == [page.items for page in built.engine.recommend(users)]
