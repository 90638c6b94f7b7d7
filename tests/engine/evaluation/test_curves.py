"""Precision and recall, true and false positives at every threshold, and errors of predictions: worked values."""

import math

import numpy as np
import pytest

from headrace.evaluation.curves import average_precision, precision_recall_area, thresholds
from headrace.evaluation.errors import mape, rmse
from headrace.evaluation.ranking import auc

# Fawcett's twenty rows (2006): ten positives, ten negatives
LABELS = [int(c) for c in "11011100101010001010"]
SCORES = [
    0.9,
    0.8,
    0.7,
    0.6,
    0.55,
    0.54,
    0.53,
    0.52,
    0.51,
    0.505,
    0.4,
    0.39,
    0.38,
    0.37,
    0.36,
    0.35,
    0.34,
    0.33,
    0.3,
    0.1,
]


def test_twenty_rows():
    found = thresholds(LABELS, SCORES)
    place = found.at(0.9)
    assert (found.false_positive_rate[place], found.recall[place]) == (0.0, 0.1)
    assert (found.false_positive_rate[found.at(math.inf)], found.recall[0]) == (0.0, 0.0)
    assert (found.false_positive_rate[-1], found.recall[-1]) == (1.0, 1.0)
    half = found.at(0.5)
    assert [found.precision[half], found.recall[half], found.f1[half], found.accuracy[half]] == pytest.approx([0.6] * 4)
    fifth = found.at(0.55)
    assert (found.precision[fifth], found.recall[fifth]) == (0.8, 0.4)
    assert average_precision(LABELS, SCORES) == pytest.approx(0.7357476)
    assert precision_recall_area(LABELS, SCORES) == pytest.approx(0.7191238)
    assert rmse(LABELS, SCORES) == pytest.approx(0.4738420)


@pytest.mark.parametrize("n", [1, 2, 17, 97])
def test_equals_a_count_at_each_threshold(n):
    rng = np.random.default_rng(n)
    labels, scores = rng.integers(0, 2, n), rng.integers(0, 6, n) / 4
    found = thresholds(labels, scores)
    assert found.threshold.tolist() == [math.inf, *sorted(set(scores.tolist()), reverse=True)]
    for place, cut in enumerate(found.threshold.tolist()):
        held = scores >= cut
        assert (found.held[place], found.hits[place]) == (held.sum(), (held & (labels == 1)).sum())
        assert found.accuracy[place] == pytest.approx((held == (labels == 1)).mean())
        assert found.at(cut) == place
    if 0 < labels.sum() < n:
        area = np.trapezoid(found.recall, found.false_positive_rate)
        assert area == pytest.approx(auc(labels, scores))


def test_average_precision_of_a_ranked_list():
    assert average_precision([1, 0, 0, 1, 1, 1], [6, 5, 4, 3, 2, 1]) == pytest.approx(0.6916667)


def test_errors_of_predictions():
    assert mape([1.8, 5, 5], [2, 4, 5]) == pytest.approx((0.2 / 1.8 + 0.2) / 3)
    assert mape([2, 4, 5], [1.8, 5, 5]) == pytest.approx(0.116667, abs=1e-6)
    assert rmse([1, 2], [1, 4]) == pytest.approx(math.sqrt(2))


def test_undefined_is_nan():
    assert math.isnan(average_precision([0, 0], [1, 2]))
    assert math.isnan(precision_recall_area([], []))
    assert math.isnan(rmse([], []))
    assert math.isnan(mape([], []))
    none = thresholds([], [])
    assert (none.held.tolist(), none.precision.tolist()) == ([0], [1.0])
    assert np.isnan(thresholds([1, 1], [0.5, 0.6]).false_positive_rate).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: thresholds([0, 2], [1, 1]), "labels: expected 0 or 1, got 2"),
        (lambda: thresholds([0, 1], [1]), "as many rows in each, got labels 2, scores 1"),
        (lambda: rmse([1], [math.nan]), "predictions: expected no NaN"),
        (lambda: mape([0, 1], [1, 1]), "values: expected none of 0, got 1 of 2"),
    ],
)
def test_errors_name_the_argument(call, words):
    with pytest.raises(ValueError, match=words):
        call()
