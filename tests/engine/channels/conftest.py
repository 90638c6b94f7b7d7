"""Small logs, catalogues and requests for the channels' tests."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from headrace.data import Catalogue, Dataset, IdMap, InteractionLog, Jagged, Users
from headrace.training.build import Build
from headrace.types import Candidates, Requests

DAY = 86_400_000


def make_log(user, item, time=None, **signals):
    time = np.arange(len(user)) if time is None else time
    return InteractionLog(
        np.asarray(user, np.int32),
        np.asarray(item, np.int32),
        np.asarray(time, np.int64),
        {name: np.asarray(column, np.int8) for name, column in signals.items()},
    )


def random_log(seed, users=7, items=31, rows=200, names=("click", "like", "share"), rate=0.5):
    random = np.random.default_rng(seed)
    return make_log(
        random.integers(0, users, rows),
        random.integers(0, items, rows),
        np.sort(random.integers(0, 9 * DAY, rows) // DAY * DAY),
        **{name: random.choice([1, 0, -1], rows, p=[rate, 0.9 - rate, 0.1]) for name in names},
    )


def jagged(lists):
    offsets = np.cumsum([0, *map(len, lists)]).astype(np.int64)
    return Jagged(offsets, np.asarray([value for values in lists for value in values], np.int32))


def make_catalogue(items, author=None, category=None, publish_time=None):
    return Catalogue(
        IdMap(np.arange(items)),
        author=None if author is None else np.asarray(author, np.int32),
        category=None if category is None else jagged(category),
        publish_time=None if publish_time is None else np.asarray(publish_time, np.int64),
    )


def random_catalogue(seed, items=31, authors=5, categories=4):
    random = np.random.default_rng(seed)
    lists = [random.choice(categories, random.integers(0, 4), replace=False) for _ in range(items)]
    published = np.where(random.random(items) < 0.2, -1, random.integers(0, 9, items) * DAY)
    return make_catalogue(items, random.integers(-1, authors, items), lists, published)


def make_requests(users, time=100 * DAY):
    user = torch.as_tensor(users, dtype=torch.int64)
    return Requests(user, torch.full((len(user),), time, dtype=torch.int64))


def make_candidates(lists):
    """Candidates of each request from lists of items, best first."""
    flat = torch.tensor([item for items in lists for item in items], dtype=torch.int64)
    offsets = torch.tensor(np.cumsum([0, *map(len, lists)]), dtype=torch.int64)
    return Candidates(offsets, flat, -torch.arange(len(flat)).float(), torch.zeros_like(flat))


def pairs_of(item, value, offsets):
    """[(item, value), ...] of each list."""
    pairs = list(zip(item.tolist(), value.tolist(), strict=True))
    return [pairs[a:b] for a, b in pairwise(offsets.tolist())]


def lists_of(found):
    """[(item, score), ...] of each request."""
    return pairs_of(found.item, found.score, found.offsets)


def likes_of(history):
    """[(item, interest), ...] of each user of a UserHistory, newest first."""
    return pairs_of(history.item, history.interest.int(), history.offsets)


def neighbours_of(channel):
    """[(item, similarity), ...] of each item."""
    return pairs_of(channel.item, channel.similarity, channel.offsets)


def build_of(logs, users, catalogue, **known):
    """A build of at most two logs, the older first. catalogue: one, or how many items it has."""
    catalogue = make_catalogue(catalogue) if isinstance(catalogue, int) else catalogue
    history, log = (None, *logs)[-2:] if logs else (None, make_log([], [], click=[]))
    return Build(Dataset("small", Users(IdMap(range(users))), catalogue, log, history), **known)


def fit_channel(kind, logs, users, catalogue, **settings):
    return kind.fit(build_of(logs, users, catalogue), kind.Settings(**settings))


@pytest.fixture(scope="session")
def small():
    return SimpleNamespace(
        DAY=DAY,
        log=make_log,
        random_log=random_log,
        catalogue=make_catalogue,
        random_catalogue=random_catalogue,
        requests=make_requests,
        candidates=make_candidates,
        jagged=jagged,
        lists=lists_of,
        likes=likes_of,
        neighbours=neighbours_of,
        build=build_of,
        fit=fit_channel,
    )
