"""What is true of every re-ranking method, and one that the package knows nothing of."""

import importlib
import importlib.metadata
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rerank_worlds import N, candidates, catalogue

from headrace.jagged import standardise
from headrace.reranking import MaxInPrefix, MaxRun, OneInWindow, Pin, Reranker, RerankSettings
from headrace.reranking.methods import METHODS
from headrace.reranking.rules import compile_rules
from headrace.settings import load_settings

RULES = (
    MaxRun(kind="category", k=1),
    OneInWindow(kind="marked", window=9),
    MaxInPrefix(kind="marked", first=1, most=0),
)
every_method = pytest.mark.parametrize("name", METHODS)


def test_the_methods():
    assert set(METHODS) >= {"dpp", "mmr", "none"}


def test_every_method_of_the_package_is_on_the_page():
    page = (Path(__file__).parents[3] / "docs" / "reranking.md").read_text()
    for name, pick in METHODS.items():
        if pick.__module__.startswith("headrace."):
            assert f"| `{name}` |" in page


@every_method
def test_pages_keep_the_rules(name):
    source = catalogue()
    reranker = Reranker.from_catalogue(RerankSettings(method=name, rules=RULES), source)
    page = reranker.rerank(candidates([200] * 8), 40)
    assert not page.columns["relaxed"].any()
    assert page.columns["overruled"].all()
    rows = page.item.reshape(8, 40)
    category, marked = source.first_category()[rows], source.marked[rows]
    assert (category[:, 1:] != category[:, :-1]).all()
    assert not marked[:, 0].any()
    assert max(marked[:, i : i + 9].sum(1).max() for i in range(32)) == 1


@every_method
def test_pinned_items_stand_where_they_are_pinned(name):
    pins = (Pin(item=7, position=1), Pin(item=250, position=12))
    reranker = Reranker.from_catalogue(RerankSettings(method=name, rules=RULES, pins=pins), catalogue())
    page = reranker.rerank(candidates([200] * 8), 20)
    rows = page.item.reshape(8, 20)
    assert (rows[:, 0] == 7).all()
    assert (rows[:, 11] == 250).all()
    assert (page.columns["pinned"].reshape(8, 20).sum(1) == 2).all()
    assert all(len(set(row.tolist())) == 20 for row in rows)


def given(counts, k):
    """Vectors, reward, offsets, rules and pinned positions of random lists."""
    source = catalogue()
    reranker = Reranker.from_catalogue(RerankSettings(rules=RULES), source)
    lists = candidates(counts)
    reward = standardise(lists.offsets, lists.score)
    rules = compile_rules(RULES, reranker.kinds, lists.item)
    pinned = torch.full((len(counts), k), -1)
    pinned[:, 2] = torch.where(lists.counts > 2, 1, -1)
    return reranker.vectors[lists.item], reward, lists.offsets, rules, pinned


@every_method
@pytest.mark.parametrize("theta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("window", [None, 1, 5])
def test_a_request_is_answered_alike_in_any_batch(name, theta, window):
    k = 12
    vectors, reward, offsets, rules, pinned = given([60, 0, 31, 7, 1], k)
    pick = METHODS[name]
    whole = pick(vectors, reward, offsets, k, theta, window, rules, pinned)
    again = pick(vectors, reward, offsets, k, theta, window, rules, pinned)
    for b, (start, end) in enumerate(itertools.pairwise(offsets.tolist())):
        own = type(rules)(rules.kinds[:, start:end], rules.limits)
        bounds = torch.tensor([0, end - start])
        alone = pick(vectors[start:end], reward[start:end], bounds, k, theta, window, own, pinned[b : b + 1])
        for field, one, other, same in zip(whole._fields, whole, again, alone, strict=True):
            if one is not None:
                assert torch.equal(one, other), field
                assert torch.equal(one[b : b + 1], same), field
        row = whole.picked[b]
        shown = row[row >= 0].tolist()
        assert len(shown) == len(set(shown)) == min(k, end - start)
        assert row[len(shown) :].tolist() == [-1] * (k - len(shown))
        assert max(shown, default=-1) < end - start
        assert whole.gain[b].isneginf().tolist() == (row < 0).tolist()


@every_method
def test_ties_go_to_the_earlier_candidate(name):
    offsets, reward = torch.tensor([0, 5]), torch.zeros(5)
    picks = METHODS[name](torch.eye(5), reward, offsets, 4, 0.5, None, None, None)
    assert picks.picked.tolist() == [[0, 1, 2, 3]]


def test_an_unknown_method_is_named(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text('[reranking]\nmethod = "ddp"\n')
    with pytest.raises(ValueError, match=rf"reranking\.method: expected one of {', '.join(METHODS)}, got 'ddp'$"):
        load_settings(path)


TOY = """
import torch

from headrace.kernels import mmr_picks
from headrace.reranking.methods import method


@method("worst")
def worst(vectors, reward, offsets, k, theta, window, rules, pinned):
    return mmr_picks(vectors, -reward, offsets, k, 1.0, 1, rules, pinned)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "worst_first.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    yield "worst_first"
    METHODS.remove("worst")
    sys.modules.pop("worst_first", None)


def test_a_method_from_elsewhere_reranks(module, tmp_path):
    importlib.import_module(module)
    (tmp_path / "settings.toml").write_text('[reranking]\nmethod = "worst"\nrules = []\n')
    settings = load_settings(tmp_path / "settings.toml").reranking
    lists = candidates([50, 9])
    page = Reranker.from_catalogue(settings, catalogue()).rerank(lists, 10)
    for b, count in enumerate([10, 9]):
        scores = lists.score[lists.offsets[b] : lists.offsets[b + 1]]
        assert torch.equal(page.score[page.offsets[b] : page.offsets[b + 1]], scores.sort()[0][:count])


def test_an_entry_point_adds_it(module, monkeypatch):
    point = importlib.metadata.EntryPoint("worst", module, "headrace.methods")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point] if group == point.group else [])
    monkeypatch.setattr(METHODS, "_looked", False)
    assert "worst" in METHODS
    assert RerankSettings(method="worst").method == "worst"


def test_a_sweep_compares_it(module):
    from headrace.evaluation.sweep import sweep

    importlib.import_module(module)
    vectors = torch.nn.functional.normalize(torch.randn(N, 8, generator=torch.Generator().manual_seed(1)), dim=1)
    found = sweep(Reranker(RerankSettings(), vectors, {}), [candidates([40])], 5, None, thetas=(1.0,))
    reward = {row.method: row.reward for row in found.rows}
    assert list(reward) == [*(name.upper() for name in METHODS if name != "none"), "SSD", "MSD"]
    assert reward["WORST"] == min(reward.values()) < 0
    assert np.isfinite(list(reward.values())).all()
