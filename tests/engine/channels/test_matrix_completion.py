"""Matrix completion: its labels and loss, what it learns, and its recall against a float64 brute force."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from headrace.build import build
from headrace.channels.matrix_completion import Factors, MatrixCompletion, exposures
from headrace.data import Dataset
from headrace.data.dataset import Catalogue, InteractionLog, Users
from headrace.data.ids import IdMap
from headrace.search.ann import AnnIndex
from headrace.serving import Engine
from headrace.settings import Settings
from headrace.state import State
from headrace.training.build import Build
from headrace.types import Requests

USERS, ITEMS = 60, 40
SMALL = MatrixCompletion.Settings(epochs=30, batch_size=128, dim=4, regularisation=0.001, embedding_learning_rate=0.03)


def dataset_of(user: np.ndarray, item: np.ndarray, users: int = USERS, **signals: np.ndarray) -> Dataset:
    log = InteractionLog(
        np.asarray(user, np.int32),
        np.asarray(item, np.int32),
        np.arange(len(user), dtype=np.int64),
        {name: np.asarray(column, np.int8) for name, column in signals.items()},
    )
    return Dataset("small", Users(IdMap(range(users)), {}), Catalogue(IdMap(range(ITEMS))), log)


def tastes(seed: int = 0, rows: int = 1000) -> Dataset:
    """Even users click, like, collect and share even items, odd users odd ones. The last user is never seen."""
    draw = np.random.default_rng(seed)
    user, item = draw.integers(USERS - 1, size=rows), draw.integers(ITEMS, size=rows)
    likes = user % 2 == item % 2
    return dataset_of(user, item, impression=np.ones(rows), click=likes, like=likes, collect=likes, share=likes)


def train(data: Dataset) -> MatrixCompletion:
    return MatrixCompletion.fit(Build(data), SMALL)


@pytest.fixture(scope="module")
def channel() -> MatrixCompletion:
    return train(tastes())


def requests(*users: int) -> Requests:
    return Requests(torch.tensor(users, dtype=torch.int64), torch.zeros(len(users), dtype=torch.int64))


def test_the_loss_of_one_exposure() -> None:
    model = Factors(1, 1, 2)
    with torch.no_grad():
        model.users.weight.copy_(torch.tensor([[1.0, 2.0]]))
        model.items.weight.copy_(torch.tensor([[0.5, 1.0]]))
    zero = torch.tensor([0])
    loss = model.loss(zero, zero, torch.tensor([3.0]), 0.0)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0.25
    assert model.users.weight.grad is not None
    assert model.items.weight.grad is not None
    assert model.users.weight.grad.tolist() == [[-0.5, -1.0]]
    assert model.items.weight.grad.tolist() == [[-1.0, -2.0]]
    assert float(model.loss(zero, zero, torch.tensor([3.0]), 0.1).detach()) == pytest.approx(0.25 + 0.1 * 6.25)


def test_an_exposure_counts_its_signals_once() -> None:
    data = dataset_of(
        [0, 0, 1, 2, 0], [3, 3, 3, 0, 4], click=[1, 1, 0, -1, 1], like=[0, 1, 0, 1, -1], follow=[1, 1, 1, 1, 1]
    )
    user, item, interest = exposures(Build(data))
    assert list(zip(user.tolist(), item.tolist(), interest.tolist(), strict=True)) == [
        (0, 3, 2.0),
        (0, 4, 1.0),
        (1, 3, 0.0),
        (2, 0, 1.0),
    ]
    later = replace(data, history=data.log, log=dataset_of([1], [3], collect=[1], share=[1]).log)
    assert exposures(Build(later))[2].tolist() == [2.0, 1.0, 2.0, 1.0]


def test_what_was_not_exposed_is_completed(channel: MatrixCompletion) -> None:
    exposed = torch.zeros(USERS, ITEMS, dtype=torch.bool)
    user, item, _ = exposures(Build(tastes(), Settings()))
    exposed[user, item] = True
    same = torch.arange(USERS)[:, None] % 2 == torch.arange(ITEMS) % 2
    predicted = channel.users @ channel.vectors.T
    unseen = ~exposed[:-1]
    error = (predicted[:-1] - 4 * same[:-1])[unseen].abs()
    assert unseen.sum() > 1000
    assert float(error.mean()) < 0.5


@pytest.mark.parametrize("quota", [1, 39, 40, 41, 1000])
def test_recall_is_the_brute_force_over_all_items(channel: MatrixCompletion, quota: int) -> None:
    got = channel.recall(requests(*range(USERS - 1)), quota)
    for user in range(USERS - 1):
        score = channel.vectors.double().numpy() @ channel.users[user].double().numpy()
        best = np.lexsort((np.arange(ITEMS), -score))[:quota]
        mine = slice(int(got.offsets[user]), int(got.offsets[user + 1]))
        assert got.item[mine].tolist() == best.tolist()
        assert got.score[mine].numpy() == pytest.approx(score[best], abs=1e-5)


def test_who_is_unknown_gets_none(channel: MatrixCompletion) -> None:
    assert channel.recall(requests(-1, 3, USERS - 1), 5).counts.tolist() == [0, 5, 0]
    with pytest.raises(ValueError, match="user: expected rows from -1 to 59, got 60"):
        channel.recall(requests(60), 5)


def test_a_seed_is_one_channel_and_its_state_survives_a_snapshot(channel: MatrixCompletion) -> None:
    for again in (
        train(tastes()),
        MatrixCompletion.from_state(State(load(save(channel.state().tensors)))),
    ):
        assert again.state().tensors.keys() == channel.state().tensors.keys()
        assert all(torch.equal(again.state()[name], tensor) for name, tensor in channel.state().tensors.items())


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(ValueError, match=r"dim\n  Input should be greater than or equal to 1"):
        MatrixCompletion.Settings(dim=0)
    with pytest.raises(ValueError, match=r"regularisation\n  Input should be greater than or equal to 0"):
        MatrixCompletion.Settings(regularisation=-1)
    with pytest.raises(ValueError, match="expected at least 1 training row for matrix_completion, got 0"):
        train(dataset_of([], []))


def test_an_engine_serves_it_and_keeps_its_index(small_log: Dataset, small_settings: Settings, tmp_path: Path) -> None:
    told = small_settings.model_dump()
    told["channels"]["matrix_completion"] = {"quota": 30, "index": "lsh", "epochs": 2, "dim": 8}
    told["channels"]["two_tower"].update(index="lsh", ann={"n_tables": 8})
    settings = Settings.model_validate(told)
    built = build(small_log, settings, tmp_path)
    assert {"matrix_completion", "two_tower"} <= {fit.label for fit in built.fits}
    engine = Engine.load(tmp_path)
    channels = {one.name: one for one in engine.funnel.channels}
    for name in ("two_tower", "matrix_completion"):
        assert isinstance(channels[name]._index, AnnIndex)  # type: ignore[attr-defined]
    assert channels["two_tower"]._index.settings.n_tables == 8  # type: ignore[attr-defined]
    users = engine.users.ids[:20].tolist()
    pages = engine.recommend(users, k=10)
    assert [page.items for page in pages] == [page.items for page in built.engine.recommend(users, k=10)]
    assert any("matrix_completion" in names for page in pages for names in page.channels)
