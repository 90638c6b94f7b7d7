"""What the towers learn from: each positive with the user's positives strictly before it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headrace.channels.shared.positives import Positives, positives_of
from headrace.data.dataset import Catalogue, Dataset, InteractionLog, Users
from headrace.data.ids import IdMap
from headrace.training.build import Build


def positives(dataset: Dataset) -> Positives:
    return positives_of(Build(dataset))


def log_of(users: int, items: int, n: int, seed: int, start: int = 0) -> InteractionLog:
    draw = np.random.default_rng(seed)
    return InteractionLog(
        draw.integers(users, size=n).astype(np.int32),
        draw.integers(items, size=n).astype(np.int32),
        np.sort(draw.integers(start, start + max(n // 4, 1), size=n)),  # many ties
        {"click": draw.integers(-1, 2, size=n).astype(np.int8), "like": draw.integers(0, 2, size=n).astype(np.int8)},
    )


def dataset_of(users: int, items: int, log: InteractionLog, history: InteractionLog | None = None) -> Dataset:
    return Dataset("small", Users(IdMap(range(users))), Catalogue(IdMap(range(items))), log, history)


@pytest.mark.parametrize("n", [1, 7, 97, 1000])
@pytest.mark.parametrize("with_history", [False, True])
@pytest.mark.parametrize("last_n", [1, 5, 33])
def test_last_n_are_the_newest_positives_strictly_before(n: int, with_history: bool, last_n: int) -> None:
    log = log_of(5, 11, n, n, start=1000)
    log.signals["like"][0] = 1
    history = log_of(5, 11, 40, 3) if with_history else None
    got = positives(dataset_of(6, 11, log, history))
    recent = got.last(got.user, got.before, last_n)

    rows = [
        (int(u), int(t), int(i))
        for part in (history, log)
        if part is not None
        for u, t, i, interest in zip(part.user, part.time, part.item, part.interest(), strict=True)
        if interest > 0
    ]
    rows.sort(key=lambda row: row[:2])
    assert [(u, i) for u, _, i in rows] == list(zip(got.user.tolist(), got.item.tolist(), strict=True))
    for place, (user, time, _) in enumerate(rows):
        earlier = [i for u, t, i in rows if u == user and t < time][::-1][:last_n]
        assert recent[place].tolist() == earlier + [-1] * (last_n - len(earlier))
    everyone = got.last(torch.arange(6), got.offsets[1:], last_n)
    for user in range(6):
        all_of = [i for u, _, i in rows if u == user][::-1][:last_n]
        assert everyone[user].tolist() == all_of + [-1] * (last_n - len(all_of))


def test_what_comes_later_changes_nothing_before_it() -> None:
    log = log_of(5, 11, 200, 8)
    cut = int(np.searchsorted(log.time, log.time[100]))
    whole, part = positives(dataset_of(5, 11, log)), positives(dataset_of(5, 11, log.take(slice(0, cut))))
    place = torch.arange(len(part)) - part.offsets[part.user] + whole.offsets[part.user]
    assert torch.equal(whole.item[place], part.item)
    assert torch.equal(whole.last(part.user, whole.before[place], 9), part.last(part.user, part.before, 9))


def test_a_log_without_interest_is_an_error() -> None:
    log = log_of(5, 11, 20, 1)
    log.signals["click"][:] = 0
    log.signals["like"][:] = -1
    with pytest.raises(
        ValueError, match="dataset: expected interactions with interest to train on, got none in 'small'"
    ):
        positives(dataset_of(5, 11, log))
