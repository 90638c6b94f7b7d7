import numpy as np
import pytest
import torch

from headrace.data import Catalogue, IdMap, Jagged
from headrace.reranking.vectors import content_vectors, hashed_vectors


def catalogue(n=300, **columns):
    rng = np.random.default_rng(0)
    return Catalogue(
        IdMap(np.arange(n)),
        author=rng.integers(-1, 20, n).astype(np.int32),
        category=Jagged(np.arange(n + 1), (np.arange(n) % 3).astype(np.int32)),
        **columns,
    )


def unit(vectors):
    """Whether each row has length 1, to the roundings of a float32 sum of squares, its root and the quotients."""
    error = (vectors.double().norm(dim=1) - 1).abs()
    return bool((error <= (vectors.shape[1] / 2 + 4) * 2.0**-24).all())


def test_hashed_vectors_are_alike_where_fields_are():
    vectors = hashed_vectors(catalogue())
    assert vectors.shape == (300, 64)
    assert unit(vectors)
    cosine = vectors @ vectors.T
    same = (torch.arange(300)[:, None] - torch.arange(300)) % 3 == 0
    same.fill_diagonal_(False)
    assert cosine[same].mean() > 0.4
    assert cosine[~same].mean() < 0.4
    assert cosine[same].max() < 0.99
    assert torch.equal(vectors, hashed_vectors(catalogue()))
    assert not torch.equal(vectors, hashed_vectors(catalogue(), seed=1))


def test_items_without_fields_are_unlike_each_other():
    vectors = hashed_vectors(Catalogue(IdMap(np.arange(50))))
    assert unit(vectors)
    assert (vectors @ vectors.T).fill_diagonal_(0).abs().max() < 0.7
    assert hashed_vectors(Catalogue(IdMap([]))).shape == (0, 64)


def test_own_vectors_come_first():
    own = np.random.default_rng(1).standard_normal((300, 12)).astype(np.float32)
    own[5] = 0
    vectors = content_vectors(catalogue(vector=own))
    assert unit(vectors)
    expected = torch.nn.functional.normalize(torch.from_numpy(own), dim=1)
    assert torch.equal(vectors[:5], expected[:5])
    assert vectors[5].any()
    own[7, 3] = np.nan
    with pytest.raises(ValueError, match=r"catalogue.vector: expected finite"):
        content_vectors(catalogue(vector=own))


def test_attributes_are_a_weighted_part_of_the_likeness():
    own = np.random.default_rng(1).standard_normal((300, 12)).astype(np.float32)
    given = catalogue(vector=own)
    content, fields = content_vectors(given), hashed_vectors(given)
    mixed = content_vectors(given, attributes=0.3)
    assert mixed.shape == (300, 12 + 64)
    assert unit(mixed)
    mixed, content, own_fields = mixed.double(), content.double(), fields.double()
    # The weight's root and its product are rounded in both factors of each term; the terms sum to 1 at most.
    alike = 0.7 * content @ content.T + 0.3 * own_fields @ own_fields.T
    assert float((mixed @ mixed.T - alike).abs().max()) <= 5 * 2.0**-24
    assert torch.equal(content_vectors(catalogue(), attributes=0.3), fields)
    with pytest.raises(ValueError, match="attributes: expected 0 to 1, got 2"):
        content_vectors(given, attributes=2)
