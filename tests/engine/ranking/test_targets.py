import numpy as np
import pytest
import torch

from headrace.data import InteractionLog
from headrace.ranking.completion import CompletionCurve
from headrace.ranking.targets import labels_of, sample_weights
from headrace.ranking.training import targets_loss


def log_of(play=None, duration=None, **signals):
    n = len(next(iter(signals.values())))
    rows = np.arange(n)
    signals = {name: np.array(column, np.int8) for name, column in signals.items()}
    ints = [None if column is None else np.array(column, np.int32) for column in (play, duration)]
    return InteractionLog(rows.astype(np.int32), rows.astype(np.int32), rows, signals, *ints)


def test_post_click_targets_are_taught_by_clicked_rows():
    labels = labels_of(log_of(click=[1, 1, 0, -1], like=[1, 0, 0, 1], share=[0, 0, 0, 0]))
    assert labels.names == ("click", "like")
    assert labels.known.tolist() == [[1, 1], [1, 1], [1, 0], [0, 0]]
    assert labels.value[:, 1].tolist() == [1, 0, 0, 1]


def test_play_time_and_completion():
    labels = labels_of(log_of(play=[8000, 7999, -1, -1], duration=[10_000, 10_000, 10_000, 10_000], click=[1, 1, 0, 1]))
    assert labels.names == ("click", "play_time", "completion")
    assert torch.allclose(labels.value[:, 1], torch.tensor([8.0, 7.999, 0.0, 0.0]))
    assert labels.known[:, 1].tolist() == [1, 1, 1, 0]
    assert labels.value[:, 2].tolist() == [1, 0, 0, 0]


def test_a_log_that_teaches_nothing_is_refused():
    with pytest.raises(ValueError, match="expected a click"):
        labels_of(log_of(click=[1, 1, 1]))
    # asked for what another log taught, it has no sample of it
    labels = labels_of(log_of(click=[1, 1, 1]), ("impression", "like"))
    assert (labels.names, labels.known.tolist()) == (("impression", "like"), [[0, 0]] * 3)


@pytest.mark.parametrize(
    ("seconds", "z", "loss"),
    [(3.0, 0.0, 0.693147), (3.0, np.log(3), 0.562335)],
)
def test_play_time_loss(seconds, z, loss):
    logits = torch.tensor([[z]], dtype=torch.float64, requires_grad=True)
    got = targets_loss(logits, torch.tensor([[seconds]]), torch.ones(1, 1), torch.tensor([True]), torch.ones(1))
    got.backward()
    assert got.item() == pytest.approx(loss, abs=1e-6)
    assert logits.grad.item() == pytest.approx(1 / (1 + np.exp(-z)) - seconds / (1 + seconds), abs=1e-6)


def test_loss_of_several_targets():
    """p = (0.6, 0.1, 0.2, 0.7), y = (1, 0, 0, 1): 1.196005."""
    p = torch.tensor([[0.6, 0.1, 0.2, 0.7]], dtype=torch.float64)
    y = torch.tensor([[1.0, 0.0, 0.0, 1.0]])
    click = torch.zeros(4, dtype=torch.bool)
    got = targets_loss(p.logit(), y, torch.ones(1, 4), click, torch.ones(4))
    assert got.item() == pytest.approx(1.196005, abs=1e-6)
    masked = targets_loss(p.logit(), y, torch.tensor([[1.0, 1.0, 0.0, 0.0]]), click, torch.ones(4))
    assert masked.item() == pytest.approx(0.510826 + 0.105361, abs=1e-6)


def test_negatives_are_down_sampled_for_their_target_alone():
    rng = np.random.default_rng(0)
    click = (rng.random(20_000) < 0.5).astype(np.int8)
    like = np.where(rng.random(20_000) < 0.5, click, 0).astype(np.int8)
    labels = labels_of(log_of(click=click, like=like))
    kept = sample_weights(labels, {"click": 0.2}, seed=0)
    assert torch.equal(kept[:, 1], labels.known[:, 1])
    negative = labels.value[:, 0] == 0
    assert bool((kept[~negative, 0] == 1).all())
    assert kept[negative, 0].mean().item() == pytest.approx(0.2, abs=0.02)
    with pytest.raises(ValueError, match="negative_rate"):
        sample_weights(labels, {"click": 0.0}, seed=0)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("played", [0.02, 0.3, 0.9])
def test_play_time_keeps_its_mean_when_negatives_are_down_sampled(rate, played):
    """The best constant prediction, exp(logit(mean y)), is that of all rows, within four deviations of the draw."""
    rng = np.random.default_rng(0)
    n = 50_000
    play = np.where(rng.random(n) < played, rng.integers(1000, 60_000, n), 0)
    labels = labels_of(log_of(play=play, click=(play > 0).astype(int)))
    column = labels.names.index("play_time")
    kept = sample_weights(labels, {"play_time": rate}, seed=0)[:, column].double()
    y = (labels.value[:, column] / (1 + labels.value[:, column])).double()
    full, weighted = float(y.mean()), float((y * kept).sum() / kept.sum())
    # the share of negatives left has the relative deviation sqrt((1 - rate) / (rate negatives))
    spread = 4 * np.sqrt((1 - rate) / (rate * n * (1 - played)))
    odds = [mean / (1 - mean) for mean in (full, weighted)]
    assert odds[1] == pytest.approx(odds[0], rel=spread)
    assert (kept[labels.value[:, column] > 0] == 1).all()
    assert torch.equal(sample_weights(labels, {}, seed=0), labels.known)


def test_completion_curve_divides_by_the_rate_of_the_length():
    bucket = torch.tensor([3] * 100_000 + [9] * 100_000)
    completed = torch.zeros(200_000)
    completed[:50_000] = 1
    completed[100_000:105_000] = 1
    curve = CompletionCurve.fit(bucket, completed, torch.ones(200_000))
    got = curve.adjust(torch.tensor([0.73, 0.2]), torch.tensor([3, 9]))
    assert got.tolist() == pytest.approx([1.46, 4.0], rel=0.01)
    assert CompletionCurve.flat().adjust(torch.tensor([0.3]), torch.tensor([0])).item() == pytest.approx(0.3)
