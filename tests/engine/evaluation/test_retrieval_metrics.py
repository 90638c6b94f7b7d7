"""Recall, NDCG, hit rate and coverage against a loop over requests, and on shapes that are awkward."""

import math

import numpy as np
import pytest
import torch

from headrace.evaluation.retrieval import (
    RetrievalQuality,
    coverage,
    hit_rate_at,
    ndcg_at,
    pad_lists,
    recall_at,
    retrieval_quality,
)


def by_hand(lists, truths, k):
    """The definitions, one request at a time."""
    recall, ndcg, hit = [], [], []
    for row, truth in zip(lists, truths, strict=True):
        wanted = set(truth)
        if not wanted:
            continue
        seen, gains = set(), []
        for item in row[:k]:
            gains.append(item >= 0 and item in wanted and item not in seen)
            seen.add(item)
        recall.append(sum(gains) / len(wanted))
        ideal = sum(1 / math.log2(i + 2) for i in range(min(k, len(wanted))))
        ndcg.append(sum(g / math.log2(i + 2) for i, g in enumerate(gains)) / ideal)
        hit.append(any(gains))
    return np.mean(recall), np.mean(ndcg), np.mean(hit)


@pytest.mark.parametrize("batch", [1, 7, 16, 33, 97])
@pytest.mark.parametrize("k", [1, 7, 17, 64])
def test_equals_a_loop_over_requests(batch, k):
    rng = np.random.default_rng(batch * 100 + k)
    lists = rng.integers(-1, 40, (batch, 31))  # repeats and holes on purpose
    truths = [rng.integers(0, 40, rng.integers(0, 25)).tolist() for _ in range(batch - 1)] + [[3, 3, 5]]
    offsets = np.cumsum([0, *map(len, truths)])
    items = np.concatenate(truths).astype(np.int64)
    recall, ndcg, hit = by_hand(lists.tolist(), truths, k)
    assert recall_at(lists, offsets, items, k) == pytest.approx(recall, abs=1e-12)
    assert ndcg_at(lists, offsets, items, k) == pytest.approx(ndcg, abs=1e-12)
    assert hit_rate_at(lists, offsets, items, k) == pytest.approx(hit, abs=1e-12)
    whole = retrieval_quality(torch.from_numpy(lists), torch.from_numpy(offsets), torch.from_numpy(items), k, 40)
    assert (whole.recall, whole.ndcg, whole.hit_rate) == pytest.approx((recall, ndcg, hit), abs=1e-12)
    shown = {item for row in lists[:, :k].tolist() for item in row if item >= 0}
    assert whole.coverage == len(shown) / 40
    assert whole.requests == sum(bool(t) for t in truths)


def test_worked_example():
    # hits at places 1 and 3 of a list of four, three items wanted
    lists, offsets, items = [[5, 9, 7, 8]], [0, 3], [7, 5, 1]
    assert recall_at(lists, offsets, items, 4) == pytest.approx(2 / 3)
    assert ndcg_at(lists, offsets, items, 4) == pytest.approx((1 + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2))
    assert recall_at(lists, offsets, items, 1) == pytest.approx(1 / 3)
    assert ndcg_at(lists, offsets, items, 1) == 1.0


def test_perfect_list_scores_one_also_when_truth_is_longer_than_k():
    lists, offsets, items = [[1, 2, 3]], [0, 5], [1, 2, 3, 4, 5]
    assert ndcg_at(lists, offsets, items, 3) == pytest.approx(1.0)
    assert recall_at(lists, offsets, items, 3) == pytest.approx(3 / 5)
    assert recall_at(lists, offsets, items, 10**12) == pytest.approx(3 / 5)


def test_a_repeated_item_counts_once():
    assert recall_at([[4, 4, 4]], [0, 1], [4], 3) == 1.0
    assert ndcg_at([[4, 4, 4]], [0, 1], [4], 3) == 1.0


def test_requests_without_truth_are_left_out():
    quality = retrieval_quality([[1, 2], [3, 4]], [0, 0, 1], [4], k=2, n_items=8)
    assert quality == RetrievalQuality(1.0, pytest.approx(1 / math.log2(3)), 1.0, 4 / 8, 1)


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (3, 5)])
def test_nothing_to_judge_or_to_show(shape):
    lists = np.full(shape, -1)
    nothing = retrieval_quality(lists, [0] * (shape[0] + 1), np.zeros(0, np.int64), 5, 10)
    assert nothing.requests == 0
    assert math.isnan(nothing.recall)
    assert math.isnan(nothing.ndcg)
    assert math.isnan(nothing.hit_rate)
    assert nothing.coverage == 0.0
    if shape[0]:
        assert recall_at(lists, [0, 1, 1, 1], [2], 5) == 0.0


def test_pad_lists():
    offsets, items = torch.tensor([0, 2, 2, 5]), torch.tensor([4, 3, 9, 8, 7])
    assert pad_lists(offsets, items, 2).tolist() == [[4, 3], [-1, -1], [9, 8]]
    assert pad_lists(offsets, items, 4).tolist() == [[4, 3, -1, -1], [-1] * 4, [9, 8, 7, -1]]
    assert pad_lists([0], np.zeros(0, np.int64), 3).shape == (0, 3)


def test_coverage_counts_each_item_once():
    assert coverage([[0, 1], [1, -1]], 4) == 0.5


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: recall_at([[1]], [0, 1], [1], 0), ValueError, "k: expected at least 1, got 0"),
        (lambda: recall_at([[1]], [0, 1], [1], 1.0), TypeError, "k: expected an integer"),
        (lambda: recall_at([1], [0, 1], [1], 1), ValueError, r"recommended: expected 2 dimension\(s\)"),
        (lambda: recall_at([[1.5]], [0, 1], [1], 1), TypeError, "recommended: expected integers"),
        (lambda: recall_at([[-2]], [0, 1], [1], 1), ValueError, "recommended: expected dense rows"),
        (lambda: recall_at([[1]], [0, 2], [1], 1), ValueError, "offsets: expected a rise from 0 to the 1 items"),
        (lambda: recall_at([[1]], [0, 1], [-1], 1), ValueError, "items: expected dense rows"),
        (lambda: recall_at([[1], [2]], [0, 1], [1], 1), ValueError, "recommended: expected 1 lists"),
        (lambda: coverage([[7]], 7), ValueError, "expected rows below n_items = 7, got 7"),
    ],
)
def test_errors_name_the_argument(call, error, words):
    with pytest.raises(error, match=words):
        call()
