"""Intra-list distance, distinct codes and runs against a loop over pages."""

import itertools
import math

import numpy as np
import pytest
import torch

from headrace.reranking.variety import distinct_per_page, intra_list_distance, longest_run, page_diversity


def pairs_distance(items, vectors):
    def cosine(a, b):
        norm = np.linalg.norm(a) * np.linalg.norm(b)
        return a @ b / norm if norm else 0.0

    values = [cosine(vectors[i], vectors[j]) for i, j in itertools.combinations(items, 2)]
    return 1 - np.mean(values) if values else math.nan


@pytest.mark.parametrize("batch", [1, 7, 33])
@pytest.mark.parametrize("k", [1, 2, 17, 64])
def test_equals_a_loop_over_pages(batch, k):
    rng = np.random.default_rng(batch + k)
    vectors, codes = rng.normal(size=(97, 9)), rng.integers(-1, 4, 97)
    vectors[5] = 0.0
    pages = rng.integers(-1, 97, (batch, k))
    shown = [[i for i in page if i >= 0] for page in pages.tolist()]
    expected = [pairs_distance(items, vectors) for items in shown]
    np.testing.assert_allclose(intra_list_distance(pages, vectors), expected, atol=1e-12)
    at_place = [[codes[i] if i >= 0 else -1 for i in page] for page in pages.tolist()]
    assert distinct_per_page(pages, codes).tolist() == [len({c for c in row if c >= 0}) for row in at_place]
    runs = [max((len(list(g)) for c, g in itertools.groupby(row) if c >= 0), default=0) for row in at_place]
    assert longest_run(pages, codes).tolist() == runs


def test_worked_example():
    # (1,0), (0,1), (1,1): cosines 0, 1/sqrt 2, 1/sqrt 2
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert intra_list_distance([[0, 1, 2]], vectors)[0] == pytest.approx(0.5285955, abs=5e-8)
    assert intra_list_distance([[0, 0, 0], [0, 1, -1]], vectors) == pytest.approx([0.0, 1.0])


def test_padding_and_unknown_codes_break_runs():
    codes = np.array([0, 0, 1, -1])
    assert longest_run([[0, 1, 2, 0], [0, 3, 1, 0], [3, 3, 3, -1]], codes).tolist() == [2, 2, 0]
    assert distinct_per_page([[0, 3, 2, -1]], codes).tolist() == [2]


def test_means_over_pages():
    vectors = np.eye(3)
    got = page_diversity([[0, 1], [0, -1]], vectors, category=np.array([0, 0, 1]))
    assert (got.intra_list_distance, got.categories, got.longest_run, got.pages) == (1.0, 1.0, 1.5, 2)
    assert math.isnan(got.authors)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0)])
def test_no_pages_or_no_places(shape):
    pages = np.zeros(shape, np.int64)
    got = page_diversity(pages, np.eye(3), np.zeros(3, np.int64), np.zeros(3, np.int64))
    assert math.isnan(got.intra_list_distance)
    assert longest_run(pages, np.zeros(3, np.int64)).tolist() == [0] * shape[0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: intra_list_distance([[3]], np.eye(3)), "pages: expected rows below 3, or -1 for padding, got 3"),
        (lambda: longest_run([[-2]], np.zeros(3, np.int64)), "got -2"),
        (lambda: intra_list_distance([[0]], np.full((1, 2), np.nan)), "vectors: expected no NaN"),
    ],
)
def test_errors_name_the_argument(call, words):
    with pytest.raises(ValueError, match=words):
        call()
