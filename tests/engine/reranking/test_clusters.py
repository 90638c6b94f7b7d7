import pytest
import torch
from torch.nn.functional import normalize

from headrace.data import Catalogue, IdMap
from headrace.reranking import Reranker, RerankSettings, Scatter
from headrace.reranking.clusters import content_clusters


def planted(each=60, count=5, noise=0.1):
    generator = torch.Generator().manual_seed(3)
    truth = torch.arange(count).repeat(each)
    return normalize(
        torch.eye(count, 16)[truth] + noise * torch.randn(len(truth), 16, generator=generator), dim=1
    ), truth


def test_planted_clusters_are_found():
    vectors, truth = planted()
    # More centres than clusters, so that every cluster has one whatever the draw.
    found = content_clusters(vectors, 15)
    assert found.dtype == torch.int32
    assert all(len(truth[found == c].unique()) <= 1 for c in range(15))


def test_same_seed_same_clusters_and_every_row_is_nearest_to_its_own():
    vectors = normalize(torch.randn(500, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    found = content_clusters(vectors, 20, rounds=60)
    assert torch.equal(found, content_clusters(vectors, 20, rounds=60))
    assert not torch.equal(found, content_clusters(vectors, 20, seed=1, rounds=60))
    centres = normalize(torch.stack([vectors[found == c].sum(0) for c in range(20)]), dim=1)
    assert ((vectors @ centres.T).argmax(1) == found).float().mean() > 0.99


@pytest.mark.parametrize("items", [0, 1, 3])
def test_fewer_items_than_clusters(items):
    assert content_clusters(torch.eye(items, 4), 1000).tolist() == list(range(items)) or items == 3
    assert len(content_clusters(torch.eye(items, 4), 1000).unique()) == items


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="count: expected at least 1, got 0"):
        content_clusters(torch.eye(3), 0)


def test_a_rule_asks_for_them():
    vectors, _ = planted()
    catalogue = Catalogue(IdMap(list(range(len(vectors)))), vector=vectors.numpy())
    plain = Reranker.from_catalogue(RerankSettings(), catalogue)
    assert "cluster" not in plain.kinds
    settings = RerankSettings(rules=(Scatter(kind="cluster", gap=3),), clusters=7)
    assert torch.equal(Reranker.from_catalogue(settings, catalogue).kinds["cluster"], content_clusters(vectors, 7))
