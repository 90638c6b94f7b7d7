"""Channels that search by the index a setting names."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from headrace.channels.shared.vector_index import IndexName, VectorSettings, check_index
from headrace.channels.two_tower import TwoTower
from headrace.channels.two_tower.objective import TwoTowerSettings
from headrace.data.dataset import Catalogue, Dataset, InteractionLog, Users
from headrace.data.ids import IdMap
from headrace.search.ann import AnnIndex
from headrace.search.ann.faiss_finder import load_faiss
from headrace.settings import load_settings
from headrace.state import State
from headrace.training.build import Build
from headrace.types import Requests

needs_faiss = pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="faiss is not installed")
USERS, ITEMS = 20, 400


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    draw = np.random.default_rng(4)
    rows = 1500
    log = InteractionLog(
        draw.integers(USERS, size=rows).astype(np.int32),
        draw.integers(ITEMS, size=rows).astype(np.int32),
        np.arange(rows, dtype=np.int64),
        {"click": np.ones(rows, np.int8)},
    )
    return Dataset("small", Users(IdMap(range(USERS)), {}), Catalogue(IdMap(range(ITEMS))), log)


def train(dataset: Dataset, index: IndexName) -> TwoTower:
    settings = TwoTowerSettings(batch_size=500, dim=8, hidden=9, last_n=3, negatives=10, index=index)
    return TwoTower.fit(Build(dataset), settings)


def everyone() -> Requests:
    return Requests(torch.arange(USERS), torch.zeros(USERS, dtype=torch.int64))


@pytest.mark.parametrize("index", [*(pytest.param(n, marks=needs_faiss) for n in ("ivf", "ivfpq", "hnsw")), "lsh"])
def test_the_two_tower_channel_takes_any_index_and_keeps_it(index: IndexName, dataset: Dataset) -> None:
    exact, channel = train(dataset, "exact"), train(dataset, index)
    assert torch.equal(exact.vectors, channel.vectors)
    assert isinstance(channel._index, AnnIndex)
    channel._index = channel._index.tuned("never")
    again = TwoTower.from_state(State(load(save(channel.state().tensors)), channel.state().facts))
    true, found, kept = (one.recall(everyone(), 30) for one in (exact, channel, again))
    for mine, theirs in ((found.item, kept.item), (found.score, kept.score), (found.offsets, kept.offsets)):
        assert torch.equal(mine, theirs)
    vectors = channel.vectors.double()
    share = []
    for user in range(USERS):
        mine, all_true = (one.item[one.offsets[user] : one.offsets[user + 1]] for one in (found, true))
        cosine = vectors[mine] @ channel.user_vectors(torch.tensor([user]))[0].double()
        assert torch.equal(cosine, cosine.sort(descending=True).values)
        assert len(mine.unique()) == len(mine) <= 30
        share.append(float(torch.isin(mine, all_true).double().sum() / 30))
    assert np.mean(share) > 0.3


def test_what_is_not_found_is_left_out(dataset: Dataset) -> None:
    channel = train(dataset, "exact")
    narrow = AnnIndex(channel.vectors, method="lsh", fallback="never", n_tables=1, n_bits=6)
    channel._index = narrow
    got = channel.recall(Requests(torch.tensor([-1, 3, 5]), torch.zeros(3, dtype=torch.int64)), 300)
    counts = (narrow.search(channel.user_vectors(torch.tensor([3, 5])), 300)[1] >= 0).sum(1).tolist()
    assert got.counts.tolist() == [0, *counts]
    assert min(counts) < 300
    assert bool((got.item >= 0).all())


def test_the_default_is_exact_and_its_snapshot_as_before(dataset: Dataset) -> None:
    assert VectorSettings().index == "exact"
    assert not [name for name in train(dataset, "exact").state().tensors if name.startswith("index/")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('index = "annoy"', r"two_tower\.index: .*'exact', 'ivf', 'ivfpq', 'hnsw' or 'lsh', got 'annoy'"),
        (
            'index = "ivf"\nann = {n_list = 4}',
            r"two_tower: ann\.n_list: method 'ivf' takes n_lists, n_probes",
        ),
        ('index = "lsh"\nann = {n_tables = 0}', r"two_tower: .*n_tables.*got 0"),
        ("ann = {n_lists = 4}", r"two_tower: ann: expected none for an exact index, got n_lists"),
    ],
)
def test_a_mistake_about_the_index_is_named(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(f"[channels.two_tower]\n{text}\n")
    with pytest.raises(ValueError, match=words):
        load_settings(path)


def test_a_file_of_settings_names_the_index_and_its_settings(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('[channels.two_tower]\nindex = "hnsw"\n[channels.two_tower.ann]\nef_search = 99\n')
    found = load_settings(path).channels["two_tower"]
    assert isinstance(found, VectorSettings)
    assert (found.index, found.ann) == ("hnsw", {"ef_search": 99})


def test_the_settings_reach_the_index(dataset: Dataset) -> None:
    settings = TwoTowerSettings(dim=8, hidden=9, index="lsh", ann={"n_tables": 3, "n_bits": 5})
    channel = TwoTower.fit(Build(dataset), settings)
    assert isinstance(channel._index, AnnIndex)
    assert (channel._index.settings.n_tables, channel._index.settings.n_bits) == (3, 5)  # type: ignore[union-attr]


def test_an_index_that_cannot_be_is_told_before_training(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    load_faiss.cache_clear()
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r"headrace\[ann\]"):
        train(dataset, "hnsw")
    check_index(VectorSettings())
    check_index(VectorSettings(index="lsh"))
