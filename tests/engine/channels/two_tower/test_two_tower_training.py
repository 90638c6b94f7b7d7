"""Training of the towers: it learns, repeats itself, and takes only what it may learn from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from headrace.channels.shared import tables
from headrace.channels.two_tower import TwoTower
from headrace.channels.two_tower import objective as two_tower
from headrace.channels.two_tower.objective import TwoTowerSettings
from headrace.data.dataset import Catalogue, Dataset, InteractionLog, Jagged, Users
from headrace.data.ids import IdMap
from headrace.features import FeatureStore
from headrace.training.build import Build
from headrace.training.loop import FitReport
from headrace.types import Requests

USERS, ITEMS, ROWS = 40, 30, 1200
SMALL = TwoTowerSettings(epochs=4, batch_size=64, dim=8, hidden=16, last_n=5, negatives=16, learning_rate=1e-2)


def train(
    data: Dataset,
    settings: TwoTowerSettings,
    seed: int = 0,
    work: Path | None = None,
    earlier: TwoTower | None = None,
    features: FeatureStore | None = None,
) -> tuple[TwoTower, FitReport]:
    warm = {"two_tower": earlier, "features": features}
    build = Build(data, seed, work=work, warm={name: part for name, part in warm.items() if part is not None})
    return TwoTower.fit(build, settings), build.fits[0]


def tastes(seed: int = 0, rich: bool = True) -> Dataset:
    """Even users click even items, odd users odd ones; everything else is exposed and not clicked."""
    draw = np.random.default_rng(seed)
    user, item = draw.integers(USERS - 1, size=ROWS), draw.integers(ITEMS, size=ROWS)
    log = InteractionLog(
        user.astype(np.int32),
        item.astype(np.int32),
        np.arange(ROWS, dtype=np.int64) * 1000,
        {"impression": np.ones(ROWS, np.int8), "click": (user % 2 == item % 2).astype(np.int8)},
    )
    if not rich:
        return Dataset("tastes", Users(IdMap(range(USERS))), Catalogue(IdMap(range(ITEMS))), log)
    catalogue = Catalogue(
        IdMap(range(ITEMS)),
        author=draw.integers(-1, 4, size=ITEMS).astype(np.int32),
        category=Jagged(np.arange(ITEMS + 1), draw.integers(3, size=ITEMS).astype(np.int32)),
        duration_ms=draw.integers(1000, 90_000, size=ITEMS).astype(np.int32),
        vector=draw.normal(size=(ITEMS, 3)).astype(np.float32),
    )
    users = Users(IdMap(range(USERS)), {"age": draw.integers(0, 3, size=USERS).astype(np.int32)})
    return Dataset("tastes", users, catalogue, log)


def top(channel: TwoTower, users: list[int], quota: int) -> torch.Tensor:
    got = channel.recall(Requests(torch.tensor(users), torch.zeros(len(users), dtype=torch.int64)), quota)
    return got.item.view(len(users), quota)


def assert_same(a: TwoTower, b: TwoTower) -> None:
    one, two = a.state().tensors, b.state().tensors
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, two[name]), name


@pytest.mark.parametrize("rich", [False, True])
def test_the_towers_learn_the_tastes(rich: bool) -> None:
    channel, report = train(tastes(rich=rich), SMALL)
    items = top(channel, list(range(USERS - 1)), 10)
    right = (items % 2 == torch.arange(USERS - 1)[:, None] % 2).double().mean()
    assert float(right) > 0.9
    assert report.losses[-1][1] < report.losses[0][1]
    assert report.rows == int((tastes(rich=rich).log.interest() > 0).sum())


def test_large_tables_learn_from_sparse_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "SPARSE_ROWS", 0)
    channel, report = train(tastes(), SMALL)
    assert all(m.sparse for m in channel.model.modules() if isinstance(m, torch.nn.Embedding))
    right = (top(channel, list(range(USERS - 1)), 10) % 2 == torch.arange(USERS - 1)[:, None] % 2).double().mean()
    assert float(right) > 0.9
    assert report.losses[-1][1] < report.losses[0][1]


def test_same_seed_same_channel_whatever_the_caller_draws() -> None:
    first, _ = train(tastes(), SMALL)
    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    second, _ = train(tastes(), SMALL)
    assert torch.equal(torch.rand(3), expected)
    assert_same(first, second)
    other, _ = train(tastes(), SMALL, seed=1)
    assert not torch.equal(first.vectors, other.vectors)


def test_a_training_that_was_broken_off_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = train(tastes(), SMALL)
    calls, loss = 0, two_tower.Objective.__call__

    def broken(self: two_tower.Objective, rows: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls > 25:
            raise KeyboardInterrupt
        return loss(self, rows)

    monkeypatch.setattr(two_tower.Objective, "__call__", broken)
    with pytest.raises(KeyboardInterrupt):
        train(tastes(), SMALL, work=tmp_path)
    monkeypatch.undo()
    assert (tmp_path / "two_tower.pt").exists()
    resumed, _ = train(tastes(), SMALL, work=tmp_path)
    assert_same(whole, resumed)


def test_exposed_without_a_click_is_neither_a_positive_nor_a_negative() -> None:
    data = tastes()
    clicked, _ = train(data.with_log(data.log.take(data.log.interest() > 0)), SMALL)
    everything, _ = train(data, SMALL)
    assert_same(clicked, everything)


def test_older_history_counts() -> None:
    data = tastes()
    half = ROWS // 2
    split = replace(data.with_log(data.log.take(slice(half, None))), history=data.log.take(slice(0, half)))
    assert_same(train(data, SMALL)[0], train(split, SMALL)[0])


def test_items_below_min_positives_are_not_recalled() -> None:
    data = tastes()
    clicks = np.bincount(data.log.item[data.log.interest() > 0], minlength=ITEMS)
    least = int(np.median(clicks)) + 1
    channel, _ = train(data, SMALL.model_copy(update={"min_positives": least}))
    assert channel.rows.tolist() == np.flatnonzero(clicks >= least).tolist()
    assert sorted(top(channel, [0], len(channel.rows))[0].tolist()) == channel.rows.tolist()


def test_a_warm_start_matches_users_and_items_by_their_ids() -> None:
    data = tastes()
    earlier, _ = train(data, SMALL)
    # The same world with one user and one item more, whose ids sort first, so that every row moves by one.
    catalogue, users, log = data.catalogue, data.users, data.log
    assert catalogue.author is not None
    assert catalogue.vector is not None
    grown = replace(
        data,
        users=Users(IdMap(range(-1, USERS)), {"age": np.r_[np.int32(3), users.features["age"]]}),
        catalogue=replace(
            catalogue,
            ids=IdMap(range(-1, ITEMS)),
            author=np.r_[np.int32(7), catalogue.author],
            category=Jagged(np.arange(ITEMS + 2), np.r_[np.int32(4), catalogue.category.values]),  # type: ignore[union-attr]
            duration_ms=np.r_[np.int32(5000), catalogue.duration_ms],
            vector=np.concatenate([np.ones((1, 3), np.float32), catalogue.vector]),
        ),
        log=replace(log, user=log.user + np.int32(1), item=log.item + np.int32(1)),
    )
    still = SMALL.model_copy(update={"epochs": 1, "learning_rate": 1e-12, "embedding_learning_rate": 1e-12})
    later, _ = train(grown, still, earlier=earlier, features=FeatureStore.fit(data))
    assert torch.allclose(later.vectors[1:], earlier.vectors, atol=1e-5)
    everyone = torch.arange(USERS)
    assert torch.allclose(later.user_vectors(everyone + 1), earlier.user_vectors(everyone), atol=1e-5)
    fresh, _ = train(grown, still)
    assert not torch.allclose(fresh.vectors[1:], earlier.vectors, atol=1e-2)


def test_a_warm_start_of_another_shape_is_an_error() -> None:
    earlier, _ = train(tastes(), SMALL)
    with pytest.raises(ValueError, match=r"initial: expected .* of shape"):
        train(tastes(), SMALL.model_copy(update={"hidden": 8}), earlier=earlier)
    with pytest.raises(ValueError, match=r"initial: expected .* of shape"):
        train(tastes(), SMALL.model_copy(update={"dim": 4}), earlier=earlier)
    with pytest.raises(ValueError, match="initial: expected content vectors in both"):
        train(tastes(rich=False), SMALL, earlier=earlier)


def test_no_positives_is_an_error() -> None:
    data = tastes()
    data.log.signals["click"][:] = 0
    with pytest.raises(ValueError, match="dataset: expected interactions with interest"):
        train(data, SMALL)


@pytest.mark.parametrize(
    "wrong",
    [
        {"dim": 0},
        {"hidden": 0},
        {"last_n": 0},
        {"negatives": -1},
        {"min_positives": -1},
        {"epochs": 0},
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"correction": 1.5},
        {"negative_power": -0.1},
    ],
)
def test_settings_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=rf"{next(iter(wrong))}\n  Input should be"):
        TwoTowerSettings(**wrong)  # type: ignore[arg-type]


def test_no_easy_negatives_is_allowed() -> None:
    channel, _ = train(tastes(), SMALL.model_copy(update={"negatives": 0, "negative_power": 0.75, "correction": 0.5}))
    assert bool(channel.vectors.isfinite().all())
