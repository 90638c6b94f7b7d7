"""Every channel finds what the synthetic world has for it: its users' taste, far above what chance would bring."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headrace.channels import CHANNELS
from headrace.data import generate
from headrace.training.build import Build
from headrace.types import Requests

USERS, ITEMS = 2000, 4000


@pytest.fixture(scope="module")
def world():
    made = generate(USERS, ITEMS, events=120_000, seed=3)
    return made, Build(made.dataset)


def taste(world, name):
    """The mean affinity of users and what the channel brings them."""
    made, build = world
    channel = CHANNELS[name].fit(build, CHANNELS[name].Settings())
    now = torch.full((USERS,), int(made.dataset.log.time[-1]))
    found = channel.recall(Requests(torch.arange(USERS), now), 20)
    assert len(found) > USERS // 2
    return made.truth.affinity(found.request.numpy(), found.item.numpy()).mean()


@pytest.mark.parametrize(
    "name",
    [
        "author_latest", "content_i2i", "followed_authors", "itemcf", "newest_in_category", "popular_in_category",
        "popular_in_keyword", "similar_authors", "swing",
    ],
)  # fmt: skip
def test_a_personal_channel_knows_its_users(world, name):
    draw = np.random.default_rng(0)
    chance = world[0].truth.affinity(draw.integers(0, USERS, 50_000), draw.integers(0, ITEMS, 50_000)).mean()
    assert taste(world, name) > chance + 0.25


def test_keywords_know_more_than_categories(world):
    assert taste(world, "newest_in_keyword") > taste(world, "newest_in_category") + 0.02
