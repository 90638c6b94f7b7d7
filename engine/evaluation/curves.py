"""Scores against labels at every threshold: precision and recall, true and false positives.

Labels are 0 or 1. Rows of equal score are taken together, so their order doesn't matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headrace.arrays import Array, Floats, Ints, binary, reals, same_length


@dataclass(frozen=True)
class Thresholds:
    """What scores of at least each threshold hold, thresholds falling; the first is infinity and holds nothing.

    threshold: float64 [m]. hits, held: int64 [m], positive rows and all rows at or above it. positives, rows: in all.
    """

    threshold: Floats
    hits: Ints
    held: Ints
    positives: int
    rows: int

    @property
    def precision(self) -> Floats:
        """Positives among what is held; 1 where nothing is."""
        return np.divide(self.hits, self.held, out=np.ones(len(self.held)), where=self.held > 0)

    @property
    def recall(self) -> Floats:
        """The share of the positives that is held; the true positive rate. NaN without positives."""
        return self.hits / self.positives if self.positives else np.full(len(self.hits), np.nan)

    @property
    def false_positive_rate(self) -> Floats:
        """The share of the negatives that is held; NaN without negatives."""
        negatives = self.rows - self.positives
        return (self.held - self.hits) / negatives if negatives else np.full(len(self.hits), np.nan)

    @property
    def accuracy(self) -> Floats:
        """The share of the rows that a threshold calls right; of little use where one class is rare."""
        right = self.hits + (self.rows - self.positives) - (self.held - self.hits)
        return right / self.rows if self.rows else np.full(len(self.hits), np.nan)

    @property
    def f1(self) -> Floats:
        """2 P R / (P + R); 0 where nothing is hit, NaN without positives."""
        both = self.held + self.positives
        return 2 * self.hits / both if self.positives else np.full(len(self.hits), np.nan)

    def at(self, threshold: float) -> int:
        """The place of scores of at least `threshold`."""
        return int(np.searchsorted(-self.threshold, -threshold, "right")) - 1


def thresholds(labels: Array, scores: Array) -> Thresholds:
    """Every threshold that tells rows apart. labels [n] 0/1, scores [n]."""
    positive, score = binary(labels), reals(scores, "scores")
    same_length(labels=positive, scores=score)
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True)) if len(order) else order
    hits = np.append(0, positive[order].cumsum()[last])
    cut = np.append(np.inf, score[order][last])
    return Thresholds(cut, hits, np.append(0, last + 1), int(positive.sum()), len(score))


def average_precision(labels: Array, scores: Array) -> float:
    """The sum of precision over the thresholds, each weighted by the recall it adds: the area under the curve in steps.

    NaN without positives. Of one ranked list without ties it is the mean precision at the places of the positives.
    """
    found = thresholds(labels, scores)
    return float((np.diff(found.recall) * found.precision[1:]).sum()) if found.positives else float("nan")


def precision_recall_area(labels: Array, scores: Array) -> float:
    """The area under precision against recall by trapezoids from (0, 1) on; NaN without positives.

    It flatters: between two thresholds precision does not fall in a straight line (Davis and Goadrich, 2006).
    """
    found = thresholds(labels, scores)
    middle = (found.precision[1:] + found.precision[:-1]) / 2
    return float((np.diff(found.recall) * middle).sum()) if found.positives else float("nan")
