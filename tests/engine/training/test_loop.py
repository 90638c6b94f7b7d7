"""The training loop: seeded, resumable to the bit, and clear when something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headrace.training.checkpoint import read_checkpoint
from headrace.training.loop import FitReport, fit
from headrace.training.settings import TrainSettings

SETTINGS = TrainSettings(epochs=3, batch_size=16)


class Net(nn.Module):
    """Dense weights, a dense table, a sparse table and dropout: everything a resumed run has to restore."""

    def __init__(self) -> None:
        super().__init__()
        self.sparse = nn.Embedding(11, 4, sparse=True)
        self.dense = nn.Embedding(7, 4)
        self.out = nn.Linear(4, 1)

    def loss(self, rows: Tensor) -> Tensor:
        x = F.dropout(self.sparse(rows % 11) + self.dense(rows % 7), 0.25, self.training)
        return (self.out(x).squeeze(1) - (rows % 3)).square().mean()


def net() -> Net:
    torch.manual_seed(1)
    return Net()


def train(model: Net, settings: TrainSettings = SETTINGS, rows: int = 100, **how: object) -> FitReport:
    return fit(model, rows, model.loss, settings, label="net", **how)  # type: ignore[arg-type]


def interrupted(checkpoint: Path, after: int, every: float) -> None:
    model, calls = net(), 0

    def loss(rows: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > after:
            raise KeyboardInterrupt
        return model.loss(rows)

    with pytest.raises(KeyboardInterrupt):
        fit(model, 100, loss, SETTINGS, label="net", checkpoint=checkpoint, checkpoint_every=every)


def assert_same(a: nn.Module, b: nn.Module) -> None:
    for (name, x), (_, y) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        assert torch.equal(x, y), name


@pytest.mark.parametrize("after", [1, 7, 13, 20])
@pytest.mark.parametrize("every", [0.0, 1e9])
def test_a_resumed_run_ends_with_the_weights_and_losses_of_an_unbroken_one(
    tmp_path: Path, after: int, every: float
) -> None:
    whole = net()
    expected = train(whole)
    interrupted(tmp_path / "deep" / "net.pt", after, every)
    assert (tmp_path / "deep" / "net.pt").exists() == (every == 0 or after >= 7)  # 7 steps an epoch
    resumed = net()
    report = train(resumed, checkpoint=tmp_path / "deep" / "net.pt", checkpoint_every=every)
    assert_same(whole, resumed)
    assert report.losses == expected.losses
    assert report.steps == expected.steps == 21


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first, again = net(), net()
    one = train(first, checkpoint=tmp_path / "net.pt")
    two = train(again, checkpoint=tmp_path / "net.pt")
    assert_same(first, again)
    assert (two.steps, two.losses, two.seconds) == (one.steps, one.losses, one.seconds)
    assert not list(tmp_path.glob("*.partial"))


def test_same_seed_same_weights_and_another_seed_others() -> None:
    a, b, c = net(), net(), net()
    train(a)
    torch.manual_seed(99)
    train(b)
    train(c, seed=6)
    assert_same(a, b)
    assert not torch.equal(a.out.weight, c.out.weight)


def test_the_callers_random_draws_are_left_alone() -> None:
    model = net()
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    train(model)
    assert torch.equal(torch.rand(5), expected)


def test_every_row_is_seen_once_an_epoch_in_an_order_of_its_own() -> None:
    model, seen = net(), []

    def loss(rows: Tensor) -> Tensor:
        seen.append(rows)
        return model.loss(rows)

    report = fit(model, 100, loss, SETTINGS, label="net")
    epochs = torch.cat(seen).view(3, 100)
    assert torch.equal(epochs.sort(1).values, torch.arange(100).expand(3, 100))
    assert not torch.equal(epochs[0], epochs[1])
    assert report.parameters == sum(p.numel() for p in model.parameters())
    assert not model.training
    assert report.losses[-1][1] < report.losses[0][1]


def test_each_kind_of_weight_learns_at_its_own_rate() -> None:
    model = net()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train(model, TrainSettings(learning_rate=1e-3, embedding_learning_rate=0.5, batch_size=100))
    # Adam's first step is the learning rate itself.
    for name, rate in (("out.weight", 1e-3), ("dense.weight", 0.5), ("sparse.weight", 0.5)):
        step = (dict(model.named_parameters())[name] - before[name]).abs()
        assert torch.allclose(step, torch.full_like(step, rate), rtol=1e-2), name


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    train(net(), checkpoint=path)
    with pytest.raises(ValueError, match=r"net\.pt: expected the settings .*'seed': 6"):
        train(net(), seed=6, checkpoint=path)
    with pytest.raises(ValueError, match=r"net\.pt: expected rows 90, got 100"):
        train(net(), rows=90, checkpoint=path)
    model = net()
    with pytest.raises(ValueError, match=r"net\.pt: expected label 'other', got 'net'"):
        fit(model, 100, model.loss, SETTINGS, label="other", checkpoint=path)
    model.dense = nn.Embedding(4, 7)
    with pytest.raises(ValueError, match=r"net\.pt: expected the weights of net"):
        train(model, checkpoint=path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_the_step_and_saves_nothing(tmp_path: Path, bad: float) -> None:
    model, calls = net(), 0

    def loss(rows: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return model.loss(rows) * (bad if calls == 5 else 1.0)

    with pytest.raises(FloatingPointError, match=r"net: the loss is (nan|inf) at step 5 of 1000"):
        fit(model, 16, loss, TrainSettings(epochs=1000, batch_size=16), label="net", checkpoint=tmp_path / "net.pt")
    assert not (tmp_path / "net.pt").exists() or read_checkpoint(tmp_path / "net.pt")["report"]["steps"] < 5


@pytest.mark.parametrize("rows", [0, -3])
def test_no_rows_is_an_error(rows: int) -> None:
    with pytest.raises(ValueError, match=f"rows: expected at least 1 training row for net, got {rows}"):
        train(net(), rows=rows)


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"embedding_learning_rate": float("nan")}],
)
def test_settings_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=rf"{next(iter(wrong))}\n  Input should be"):
        TrainSettings(**wrong)  # type: ignore[arg-type]


def watched(
    model: Net, losses: list[float], checkpoint: Path | None = None, stop: float | None = None, average: bool = False
) -> FitReport:
    """Trains for at most 9 epochs of 50 steps; the validations' losses are given, so the third, say, is the best."""
    settings, asked = TrainSettings(epochs=9, batch_size=2), iter(losses)
    path = checkpoint

    def validate() -> dict[str, float]:
        assert not model.training
        torch.rand(3)  # its own draws change no step
        value = next(asked)
        if value == stop:
            raise KeyboardInterrupt
        return {"loss": value, "AUC": 0.5}

    return fit(
        model, 100, model.loss, settings, label="net", validate=validate, patience=2, checkpoint=path,
        checkpoint_every=1e9, average=average,
    )  # fmt: skip


def test_training_ends_when_it_is_done_and_the_best_weights_are_kept(tmp_path: Path) -> None:
    model, best = net(), net()
    report = watched(model, [3.0, 2.0, 1.0, 1.0, 1.5, 0.0])
    assert [step for step, _ in report.validations] == [50, 100, 150, 200, 250]
    assert (report.steps, report.kept, report.per_epoch) == (250, 150, 50)
    train(best, TrainSettings(epochs=3, batch_size=2))
    assert_same(model, best)
    assert report.network == "Net"
    assert report.warning is None


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("stop", [2.0, 1.1, 1.6])
def test_a_resumed_run_keeps_the_same_best_weights(tmp_path: Path, stop: float, average: bool) -> None:
    losses = [3.0, 2.0, 1.0, 1.1, 1.6]
    whole, resumed = net(), net()
    expected = watched(whole, losses, average=average)
    with pytest.raises(KeyboardInterrupt):
        watched(net(), losses, tmp_path / "net.pt", stop, average)
    report = watched(resumed, losses[losses.index(stop) :], tmp_path / "net.pt", average=average)
    assert_same(whole, resumed)
    assert (report.losses, report.validations) == (expected.losses, expected.validations)
    again = net()
    assert watched(again, [], tmp_path / "net.pt", average=average).steps == expected.steps
    assert_same(whole, again)


def test_a_validation_loss_that_only_rises_is_said() -> None:
    report = watched(net(), [1.0, 2.0, 3.0])
    assert report.kept == 50
    assert report.warning is not None
    assert "net: the validation loss rose from 1.0000 to 3.0000 while the training loss fell" in report.warning


def test_a_validation_loss_that_is_not_finite_names_the_step() -> None:
    with pytest.raises(FloatingPointError, match="net: the validation loss is nan at step 100"):
        watched(net(), [1.0, float("nan")])


@pytest.mark.parametrize(("rows", "batch", "steps"), [(100, 25, [40]), (1000, 2, [167, 334, 500, 667, 834, 1000])])
def test_validations_are_neither_rare_nor_dense(rows: int, batch: int, steps: list[int]) -> None:
    model = net()
    settings = TrainSettings(epochs=10 if rows == 100 else 2, batch_size=batch)
    report = fit(model, rows, model.loss, settings, label="net", validate=lambda: {"loss": 1.0}, patience=99)
    assert [step for step, _ in report.validations] == steps


@pytest.mark.parametrize(("after", "expected"), [(0, [0, 1, 2]), (3, [0, 1, 2]), (7, [1, 2]), (9, [1, 2])])
def test_every_epoch_begins_once_also_when_resumed(tmp_path: Path, after: int, expected: list[int]) -> None:
    path, begun, model = tmp_path / "net.pt", [], net()
    if after:
        interrupted(path, after, 0.0)
    fit(model, 100, model.loss, SETTINGS, label="net", begin=begun.append, checkpoint=path)
    assert begun == expected


def test_the_mean_of_the_last_weights_is_kept_and_does_not_change_the_run() -> None:
    plain, averaged, expected = net(), net(), None
    seen: list[Tensor] = []

    def loss(rows: Tensor) -> Tensor:
        seen.append(plain.out.weight.detach().clone())
        return plain.loss(rows)

    one = fit(plain, 100, loss, SETTINGS, label="net")
    two = train(averaged, average=True)
    assert one.losses == two.losses
    after = [*seen[1:], plain.out.weight.detach()]  # those of steps 1 to 21
    for count, step in enumerate(range(5, 22, 5), 1):
        weight = min(1.0, 5 / (count + 4))
        expected = after[step - 1] if expected is None else (1 - weight) * expected + weight * after[step - 1]
    assert expected is not None
    assert torch.allclose(averaged.out.weight, expected, atol=1e-6)
