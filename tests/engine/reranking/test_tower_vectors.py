"""How well vectors know which items are alike, by how often an item was clicked: the table of docs/reranking.md.

Run with `-s` to see it: `pytest -s tests/engine/reranking/test_tower_vectors.py`.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console
from rich.table import Table

from headrace.channels.two_tower import TwoTower
from headrace.data import Catalogue, generate
from headrace.reranking.vectors import content_vectors, hashed_vectors
from headrace.training.build import Build

CLICKS = ((0, 0), (1, 2), (3, 9), (10, 29), (30, 10**9))


def likeness(vectors, truth, items):
    """The mean true cosine between `items` and the ten others that `vectors` call nearest."""
    near = vectors[items] @ vectors.T
    near[torch.arange(len(items)), items] = -9
    return float((truth[items] @ truth.T).gather(1, near.topk(10, 1).indices).mean())


def train(dataset):
    return TwoTower.fit(Build(dataset), TwoTower.Settings(epochs=3)).vectors


@pytest.mark.rare
def test_two_tower_vectors_of_rare_items_say_little():
    world = generate(users=4000, items=6000, events=400_000, seed=0)
    log = world.dataset.log
    clicks = np.bincount(log.item[log.signals["click"] == 1], minlength=6000)
    truth = torch.from_numpy(world.truth.item_vector)
    bare = replace(world.dataset, catalogue=Catalogue(world.dataset.catalogue.ids))
    vectors = {
        "two-tower, ids": train(bare),
        "two-tower, with content": train(world.dataset),
        "content": content_vectors(world.dataset.catalogue),
        "hashed fields": hashed_vectors(world.dataset.catalogue),
        "the truth itself": truth,
    }
    table = Table("clicks", "items", *vectors)
    found = {}
    for least, most in CLICKS:
        items = torch.from_numpy(np.flatnonzero((clicks >= least) & (clicks <= most)))
        found[least] = {name: likeness(v, truth, items[:1000]) for name, v in vectors.items()}
        words = "none" if most == 0 else f"{least} or more" if most == 10**9 else f"{least} to {most}"
        table.add_row(words, str(len(items)), *(f"{value:.2f}" for value in found[least].values()))
    Console(width=110).print(table)
    assert found[0]["two-tower, ids"] < 0.3 < found[30]["two-tower, ids"]
    for row in found.values():
        assert row["content"] > max(row["two-tower, ids"], row["two-tower, with content"]) + 0.02
        assert row["hashed fields"] > 0.7
