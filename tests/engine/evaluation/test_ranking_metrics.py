"""AUC, GAUC, calibration and log loss against brute-force pairs and worked values."""

import math

import numpy as np
import pytest
import torch

from headrace.evaluation.ranking import auc, auc_by_group, calibration, gauc, log_loss, reliability

# Fawcett's twenty rows (2006): ten positives, ten negatives
ROC20_LABELS = np.array([int(c) for c in "11011100101010001010"])
ROC20_SCORES = np.array(
    [0.9, 0.8, 0.7, 0.6, 0.55, 0.54, 0.53, 0.52, 0.51, 0.505, 0.4, 0.39, 0.38, 0.37, 0.36, 0.35, 0.34, 0.33, 0.30, 0.1]
)


def pairs_auc(labels, scores, weights=None):
    """Every pair of a positive and a negative row."""
    weights = np.ones(len(labels)) if weights is None else weights
    won = total = 0.0
    for y, s, w in zip(labels, scores, weights, strict=True):
        for y2, s2, w2 in zip(labels, scores, weights, strict=True):
            if y == 1 and y2 == 0:
                total += w * w2
                won += w * w2 * (1.0 if s > s2 else 0.5 if s == s2 else 0.0)
    return won / total if total else math.nan


def test_twenty_rows():
    assert auc(ROC20_LABELS, ROC20_SCORES) == pytest.approx(0.68, abs=1e-15)
    assert log_loss(ROC20_LABELS, ROC20_SCORES) == pytest.approx(0.6314378, abs=5e-8)
    assert calibration(ROC20_LABELS, ROC20_SCORES) == pytest.approx(ROC20_SCORES.sum() / 10)


@pytest.mark.parametrize("n", [1, 2, 7, 15, 16, 17, 33, 64, 97])
@pytest.mark.parametrize("values", [2, 5, 10**6])
def test_auc_equals_all_pairs(n, values):
    rng = np.random.default_rng(n + values)
    labels, scores = rng.integers(0, 2, n), rng.integers(0, values, n) / values
    assert auc(labels, scores) == pytest.approx(pairs_auc(labels, scores), abs=1e-14, nan_ok=True)
    weights = rng.random(n)
    weighted = pairs_auc(labels, scores, weights)
    assert auc(labels, scores, weights) == pytest.approx(weighted, abs=1e-12, nan_ok=True)


def test_auc_takes_tensors_any_number_type_and_infinities():
    scores = torch.tensor([math.inf, 2.0, 2.0, -math.inf], dtype=torch.float32)
    assert auc(torch.tensor([True, False, True, False]), scores) == 0.875
    assert auc([1, 0], [3, 7]) == 0.0
    assert auc(np.int8([1, 0]), np.float16([0.0, -0.0])) == 0.5


def test_auc_is_exact_on_many_rows():
    # all positives tie with all negatives but one pair of extremes
    n = 200_001
    labels, scores = np.arange(n) % 2, np.zeros(n)
    scores[1] = 1.0
    positives, negatives = n // 2, n - n // 2
    assert auc(labels, scores) == (positives * negatives + negatives) / (2 * positives * negatives)


@pytest.mark.parametrize("n", [1, 31, 65, 400])
def test_gauc_equals_a_loop_over_users(n):
    rng = np.random.default_rng(n)
    labels, scores, users = rng.integers(0, 2, n), rng.integers(0, 6, n) / 6, rng.integers(-1, 12, n) * 7
    values, weights = [], []
    for user in sorted(set(users.tolist())):
        mine = users == user
        values.append(pairs_auc(labels[mine], scores[mine]))
        weights.append(mine.sum())
    groups = auc_by_group(labels, scores, users)
    assert groups.group.tolist() == sorted(set(users.tolist()))
    assert groups.rows.tolist() == weights
    np.testing.assert_allclose(groups.auc, values, atol=1e-14)
    values, weights = np.array(values), np.array(weights)
    both = ~np.isnan(values)
    expected = (values[both] * weights[both]).sum() / weights[both].sum() if both.any() else math.nan
    assert gauc(labels, scores, users) == pytest.approx(expected, abs=1e-14, nan_ok=True)


def test_gauc_weighs_users_by_impressions_and_ignores_the_order_of_rows():
    labels, scores = np.array([1, 0, 1, 0, 0, 1]), np.array([0.9, 0.1, 0.2, 0.8, 0.1, 0.5])
    users = np.array([1, 1, 2, 2, 2, 3])  # AUC 1 over two rows, 1/2 over three, and one class
    assert gauc(labels, scores, users) == pytest.approx((2 * 1.0 + 3 * 0.5) / 5)
    shuffled = np.random.default_rng(0).permutation(6)
    assert gauc(labels[shuffled], scores[shuffled], users[shuffled]) == gauc(labels, scores, users)


def test_undefined_is_nan():
    nothing = np.zeros(0)
    assert math.isnan(auc(nothing, nothing))
    assert math.isnan(auc([1, 1], [0.2, 0.3]))
    assert math.isnan(auc([1, 0], [0.2, 0.3], weights=[0.0, 1.0]))
    assert math.isnan(gauc(nothing, nothing, nothing))
    assert math.isnan(gauc([1, 0], [0.1, 0.2], [1, 2]))
    assert math.isnan(calibration(nothing, nothing))
    assert math.isnan(calibration([0, 0], [0.1, 0.2]))
    assert math.isnan(log_loss(nothing, nothing))
    assert len(reliability(nothing, nothing).rows) == 0


def test_calibration_is_predicted_over_observed():
    assert calibration([1, 0, 0, 0], [0.5, 0.25, 0.25, 0.5]) == pytest.approx(1.5)


def test_log_loss_of_certain_and_wrong_is_infinite():
    assert log_loss([1, 0], [1.0, 0.0]) == 0.0
    assert log_loss([1, 0], [0.0, 0.0]) == math.inf
    assert log_loss([1], [0.5249791875]) == pytest.approx(0.6443966601, abs=1e-9)


@pytest.mark.parametrize("n", [1, 7, 97, 1000])
@pytest.mark.parametrize("bins", [1, 10, 16])
def test_reliability_bins_hold_equal_mass(n, bins):
    rng = np.random.default_rng(n)
    predictions, labels = rng.random(n), rng.integers(0, 2, n)
    curve = reliability(labels, predictions, bins)
    assert curve.rows.sum() == n
    assert len(curve.rows) == min(bins, n)
    assert curve.rows.max() - curve.rows.min() <= 1
    order, start = np.argsort(predictions), 0
    for mean, observed, rows in zip(curve.predicted, curve.observed, curve.rows, strict=True):
        mine = order[start : start + rows]
        assert mean == pytest.approx(predictions[mine].mean())
        assert observed == pytest.approx(labels[mine].mean())
        start += rows


def test_reliability_keeps_equal_predictions_together():
    predictions, labels = np.repeat([0.1, 0.6], [7, 3]), np.array([0] * 6 + [1] + [1, 1, 0])
    curve = reliability(labels, predictions, bins=5)
    assert curve.rows.tolist() == [7, 3]
    np.testing.assert_allclose(curve.observed, [1 / 7, 2 / 3])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: auc([1, 0], [0.1, math.nan]), ValueError, "scores: expected no NaN, got 1 of 2"),
        (lambda: auc([1, -1], [0.1, 0.2]), ValueError, "labels: expected 0 or 1, got -1"),
        (lambda: auc([1, 0], [0.1]), ValueError, "labels 2, scores 1"),
        (lambda: auc([1, 0], [0.1, 0.2], [1.0, -1.0]), ValueError, "weights: expected finite values"),
        (lambda: auc([1, 0], ["a", "b"]), TypeError, "scores: expected numbers"),
        (lambda: gauc([1, 0], [0.1, 0.2], [1]), ValueError, "group 1"),
        (lambda: calibration([1, 0], [0.1, 1.2]), ValueError, r"predictions: expected values in \[0, 1\], got 1.2"),
        (lambda: log_loss([[1]], [0.1]), ValueError, r"labels: expected 1 dimension\(s\)"),
        (lambda: reliability([1], [0.1], bins=0), ValueError, "bins: expected at least 1, got 0"),
    ],
)
def test_errors_name_the_argument(call, error, words):
    with pytest.raises(error, match=words):
        call()
