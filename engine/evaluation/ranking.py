"""How well scores order rows and how true predicted rates are: AUC, GAUC, calibration, log loss.

Labels are 0 or 1 (rows without a label are left out by the caller). NaN anywhere is a ValueError. A metric that the
rows don't define (no rows, or one class only) is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.arrays import (
    Array,
    Floats,
    Ints,
    at_least_one,
    binary,
    probabilities,
    reals,
    same_length,
    to_numpy,
)


@dataclass(frozen=True)
class GroupedAuc:
    """AUC of each group, in ascending order of `group`; NaN for a group with one class. rows: its impressions."""

    group: NDArray[np.generic]
    auc: Floats
    rows: Ints


@dataclass(frozen=True)
class Reliability:
    """Bins of about equal mass by prediction: mean prediction, mean label and rows of each, none of them empty."""

    predicted: Floats
    observed: Floats
    rows: Ints


def auc(labels: Array, scores: Array, weights: Array | None = None) -> float:
    """Probability that a positive row scores above a negative one, ties counting one half, in O(n log n).

    labels [n] 0/1, scores [n], weights [n] of at least 0 (a pair weighs the product of its two rows).
    NaN when a class has no rows or no weight. The Mann-Whitney statistic (Hanley and McNeil, 1982).
    """
    positive, score = binary(labels), reals(scores, "scores")
    same_length(labels=positive, scores=score)
    weight: NDArray[np.int64] | Floats
    if weights is None:
        weight = np.ones(len(score), np.int64)
    else:
        weight = reals(weights, "weights")
        same_length(labels=positive, weights=weight)
        if (weight < 0).any() or np.isinf(weight).any():
            raise ValueError("weights: expected finite values of at least 0")
    return float(_auc(positive, score, weight, np.zeros(len(score), np.int64))[0]) if len(score) else float("nan")


def auc_by_group(labels: Array, scores: Array, group: Array) -> GroupedAuc:
    """AUC inside each group (say, each user's impressions), all groups in one sort. group [n]: any values."""
    positive, score, key = binary(labels), reals(scores, "scores"), to_numpy(group)
    if key.ndim != 1:
        raise ValueError(f"group: expected 1 dimension, got shape {key.shape}")
    same_length(labels=positive, scores=score, group=key)
    groups, row_group, rows = np.unique(key, return_inverse=True, return_counts=True)
    value = _auc(positive, score, np.ones(len(score), np.int64), row_group) if len(score) else np.zeros(0)
    return GroupedAuc(groups, value, rows)


def gauc(labels: Array, scores: Array, group: Array) -> float:
    """Mean of the groups' AUC weighted by their impressions, over groups with both classes (Zhou et al., 2018, DIN).

    NaN when no group has both classes.
    """
    groups = auc_by_group(labels, scores, group)
    defined = ~np.isnan(groups.auc)
    return float(np.average(groups.auc[defined], weights=groups.rows[defined])) if defined.any() else float("nan")


def calibration(labels: Array, predictions: Array) -> float:
    """Mean prediction divided by mean label: 1 is calibrated, above 1 predicts too much. NaN without positives."""
    positive, predicted = binary(labels), probabilities(predictions)
    same_length(labels=positive, predictions=predicted)
    return float(predicted.sum() / positive.sum()) if positive.any() else float("nan")


def reliability(labels: Array, predictions: Array, bins: int = 10) -> Reliability:
    """The reliability curve: rows sorted by prediction and cut into at most `bins` bins of about equal mass.

    Equal predictions always share a bin, so the order of the rows doesn't matter and there may be fewer bins.
    """
    positive, predicted = binary(labels), probabilities(predictions)
    same_length(labels=positive, predictions=predicted)
    at_least_one(bins, "bins")
    _, tie, rows = np.unique(predicted, return_inverse=True, return_counts=True)
    below = np.cumsum(rows) - rows
    bin_of_tie = below * bins // max(len(predicted), 1)
    _, row_bin = np.unique(bin_of_tie, return_inverse=True)
    row_bin = row_bin[tie]
    count = np.bincount(row_bin)
    return Reliability(
        np.bincount(row_bin, predicted) / count,
        np.bincount(row_bin, positive.astype(np.float64)) / count,
        count,
    )


def log_loss(labels: Array, predictions: Array) -> float:
    """Mean of -log of the probability given to what happened, in nats.

    NaN without rows; infinite when something held impossible happened (a prediction of exactly 0 or 1 that is wrong).
    """
    positive, predicted = binary(labels), probabilities(predictions)
    same_length(labels=positive, predictions=predicted)
    if not len(positive):
        return float("nan")
    with np.errstate(divide="ignore"):
        return float(-np.where(positive, np.log(predicted), np.log1p(-predicted)).mean())


def _auc(positive: NDArray[np.bool_], score: Floats, weight: Ints | Floats, group: Ints) -> Floats:
    """AUC of each group 0..G-1 (each has rows). Integer weights make every sum exact up to the last division."""
    order = np.lexsort((score, group))
    positive, score, weight, group = positive[order], score[order], weight[order], group[order]
    new_group = np.concatenate([[True], group[1:] != group[:-1]])
    tie_start = np.flatnonzero(new_group | np.concatenate([[True], score[1:] != score[:-1]]))
    tied_positive = np.add.reduceat(weight * positive, tie_start)
    tied_negative = np.add.reduceat(weight * ~positive, tie_start)
    group_start = np.flatnonzero(new_group[tie_start])
    below = np.cumsum(tied_negative) - tied_negative
    below -= np.repeat(below[group_start], np.diff(np.append(group_start, len(tie_start))))
    won_twice = np.add.reduceat(tied_positive * (2 * below + tied_negative), group_start)
    pairs = np.add.reduceat(tied_positive, group_start) * np.add.reduceat(tied_negative, group_start)
    value = np.full(len(pairs), np.nan)
    np.divide(won_twice, 2 * pairs, out=value, where=pairs > 0)
    return value
