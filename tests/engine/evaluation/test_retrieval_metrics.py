"""Every metric of lists against a loop over requests, worked values, and shapes that are awkward."""

import math

import numpy as np
import pytest
import torch

from headrace.evaluation.retrieval import METRICS, coverage, judge, pad_lists


def by_hand(lists, truths, k, users_of, users):
    """The definitions, one request at a time. truths: [(item, grade), ...] of each."""
    out = {name: [] for name in METRICS}
    for row, truth in zip(lists, truths, strict=True):
        grades = {}
        for item, grade in truth:
            grades[item] = max(grade, grades.get(item, grade))
        if not grades:
            continue
        gains, seen, precisions = [], set(), []
        for place, item in enumerate(row[:k], 1):
            hit = item >= 0 and item in grades and item not in seen
            gains.append(2 ** grades[item] - 1 if hit else None)
            seen.add(item)
            if hit:
                precisions.append(sum(g is not None for g in gains) / place)
        hits = [g is not None for g in gains]
        recall, precision = sum(hits) / len(grades), sum(hits) / k
        discount = [1 / math.log2(i + 2) for i in range(max(k, len(grades)))]
        ideal = sorted((2**g - 1 for g in grades.values()), reverse=True)[:k]
        best = sum(g * d for g, d in zip(ideal, discount, strict=False))
        reached = sum((g or 0) * d for g, d in zip(gains, discount, strict=False))
        shown = [item for item in row[:k] if item >= 0]
        surprise = [math.log2((users + 1) / (users_of[item] + 1)) for item in shown]
        both = precision + recall
        for name, value in {
            "recall": recall,
            "precision": precision,
            "f1": 2 * precision * recall / both if both else 0.0,
            "ndcg": sum(h * d for h, d in zip(hits, discount, strict=False)) / sum(discount[: min(k, len(grades))]),
            "graded_ndcg": reached / best if best else 1.0,
            "map": sum(precisions) / min(k, len(grades)),
            "mrr": 1 / (hits.index(True) + 1) if any(hits) else 0.0,
            "hit_rate": float(any(hits)),
            "novelty": sum(surprise) / len(surprise) if surprise else math.nan,
        }.items():
            out[name].append(value)
    return out


@pytest.mark.parametrize("batch", [1, 7, 16, 33, 97])
@pytest.mark.parametrize("ks", [(1, 7), (17, 64), (31,)])
def test_equals_a_loop_over_requests(batch, ks):
    rng = np.random.default_rng(batch)
    lists = rng.integers(-1, 40, (batch, 31))  # repeats and holes on purpose
    lists[0] = -1
    truths = [rng.integers(0, 40, rng.integers(0, 25)).tolist() for _ in range(batch - 1)] + [[3, 3, 5]]
    offsets = np.cumsum([0, *map(len, truths)])
    items = np.concatenate(truths).astype(np.int64)
    grades = rng.integers(0, 4, len(items)).astype(float)
    graded = [
        list(zip(items[a:b].tolist(), grades[a:b].tolist(), strict=True))
        for a, b in np.stack([offsets[:-1], offsets[1:]], 1)
    ]
    users_of = rng.integers(0, 50, 40)
    given = (torch.from_numpy(lists), torch.from_numpy(offsets), torch.from_numpy(items))
    for k, found in zip(ks, judge(*given, ks, 40, grades, users_of, 60), strict=True):
        assert found.k == k
        assert tuple(found.values) == METRICS
        for name, wanted in by_hand(lists.tolist(), graded, k, users_of.tolist(), 60).items():
            np.testing.assert_allclose(found.values[name], wanted, atol=1e-12, err_msg=name)
        shown = {item for row in lists[:, :k].tolist() for item in row if item >= 0}
        assert found.coverage == len(shown) / 40
        assert found.requests == sum(bool(t) for t in truths)
        assert found.recall == pytest.approx(np.mean(found.values["recall"]))


def only(lists, offsets, items, k, **more):
    return judge(lists, offsets, items, [k], 100, **more)[0]


def test_worked_example():
    # hits at places 1 and 3 of a list of four, three items wanted
    found = only([[5, 9, 7, 8]], [0, 3], [7, 5, 1], 4)
    assert found.recall == pytest.approx(2 / 3)
    assert found.ndcg == pytest.approx((1 + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2))
    assert found.mean("f1") == pytest.approx(2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3))
    first = only([[5, 9, 7, 8]], [0, 3], [7, 5, 1], 1)
    assert first.recall == pytest.approx(1 / 3)
    assert first.ndcg == 1.0


def test_average_precision_of_six_places():
    # labels 1, 0, 0, 1, 1, 1
    assert only([[0, 1, 2, 3, 4, 5]], [0, 4], [0, 3, 4, 5], 6).mean("map") == pytest.approx(0.6916667)


def test_graded_gains_of_six_places():
    # grades 3, 2, 3, 0, 1, 2: DCG 13.848264, of the best order 14.595390
    found = only([[0, 1, 2, 3, 4, 5]], [0, 6], np.arange(6), 6, grades=[3, 2, 3, 0, 1, 2])
    assert found.mean("graded_ndcg") == pytest.approx(0.9488107)


def test_perfect_list_scores_one_also_when_truth_is_longer_than_k():
    found = only([[1, 2, 3]], [0, 5], [1, 2, 3, 4, 5], 3)
    assert [found.mean(name) for name in ("ndcg", "graded_ndcg", "map", "mrr", "precision")] == pytest.approx([1.0] * 5)
    assert found.recall == pytest.approx(3 / 5)
    assert only([[1, 2, 3]], [0, 5], [1, 2, 3, 4, 5], 10**12).recall == pytest.approx(3 / 5)


def test_a_repeated_item_counts_once():
    assert only([[4, 4, 4]], [0, 1], [4], 3).recall == 1.0
    assert only([[4, 4, 4]], [0, 1], [4], 3).ndcg == 1.0


def test_requests_without_truth_are_left_out():
    (quality,) = judge([[1, 2], [3, 4]], [0, 0, 1], [4], [2], n_items=8)
    assert quality.requests == 1
    assert quality.ndcg == pytest.approx(1 / math.log2(3))
    assert quality.coverage == 4 / 8
    assert "novelty" not in quality.values


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (3, 5)])
def test_nothing_to_judge_or_to_show(shape):
    lists = np.full(shape, -1)
    (nothing,) = judge(lists, [0] * (shape[0] + 1), np.zeros(0, np.int64), [5], 10)
    assert nothing.requests == 0
    assert all(math.isnan(nothing.mean(name)) for name in nothing.values)
    assert nothing.coverage == 0.0
    if shape[0]:
        (empty,) = judge(lists, [0, 1, 1, 1], [2], [5], 10, users_of=np.ones(10, int), users=3)
        assert empty.recall == 0.0
        assert math.isnan(empty.mean("novelty"))


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
        (lambda: only([[1]], [0, 1], [1], 0), ValueError, "k: expected at least 1, got 0"),
        (lambda: only([[1]], [0, 1], [1], 1.0), TypeError, "k: expected an integer"),
        (lambda: only([1], [0, 1], [1], 1), ValueError, r"recommended: expected 2 dimension\(s\)"),
        (lambda: only([[1.5]], [0, 1], [1], 1), TypeError, "recommended: expected integers"),
        (lambda: only([[-2]], [0, 1], [1], 1), ValueError, "recommended: expected dense rows"),
        (lambda: only([[1]], [0, 2], [1], 1), ValueError, "offsets: expected a rise from 0 to the 1 items"),
        (lambda: only([[1]], [0, 1], [-1], 1), ValueError, "items: expected dense rows"),
        (lambda: only([[1], [2]], [0, 1], [1], 1), ValueError, "recommended: expected 1 lists"),
        (lambda: only([[1]], [0, 1], [1], 1, grades=[40]), ValueError, "grades: expected 0 to 32, got 40 to 40"),
        (lambda: only([[1]], [0, 1], [1], 1, grades=[1, 1]), ValueError, "as many rows in each, got items 1, grades 2"),
        (lambda: only([[1]], [0, 1], [1], 1, users_of=[1]), ValueError, "users_of: expected 100, one for each item"),
        (
            lambda: only([[1]], [0, 1], [1], 1, users_of=[5] * 100, users=4),
            ValueError,
            "users_of: expected 0 to 4 users, got 5 to 5",
        ),
        (lambda: coverage([[7]], 7), ValueError, "expected rows below n_items = 7, got 7"),
    ],
)
def test_errors_name_the_argument(call, error, words):
    with pytest.raises(error, match=words):
        call()
