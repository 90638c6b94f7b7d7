"""Hashing against its formulas, and the tables against a brute force over their keys."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from headrace.kernels import topk
from headrace.search.ann.hashes import hyperplane_hash, on_sphere, stable_hash
from headrace.search.ann.lsh import LshFinder
from headrace.search.ann.settings import Lsh


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(items: Tensor, metric: str, tables: int, bits: int, seed: int = 0, width: float | None = None) -> LshFinder:
    return LshFinder.build(items, metric, Lsh(n_tables=tables, n_bits=bits, width=width).of(*items.shape), seed)


def pairs(finder: LshFinder, queries: Tensor) -> set[tuple[int, int]]:
    query, row = finder.candidates(queries)
    found = list(zip(query.tolist(), row.tolist(), strict=True))
    assert found == sorted(set(found))
    return set(found)


def hyperplane_collision(cosine: Tensor) -> Tensor:
    """The chance that two vectors of this cosine lie on one side of a random hyperplane: 1 - angle / pi."""
    return 1 - cosine.double().clamp(-1, 1).acos() / torch.pi


def stable_collision(distance: Tensor, width: float) -> Tensor:
    """The chance that two vectors at this Euclidean distance share a `stable_hash`."""
    t = width / distance.double()
    below = torch.special.ndtr(-t)
    tail = 2 / ((2 * torch.pi) ** 0.5 * t) * (1 - torch.exp(-t * t / 2))
    # Equal vectors always share it; the formula has 0/0 there.
    return torch.where(distance > 0, 1 - 2 * below - tail, 1.0)


def found_chance(collision: Tensor, n_bits: int, n_tables: int) -> Tensor:
    """The chance of sharing all `n_bits` hashes (AND) in at least one of `n_tables` tables (OR): 1 - (1 - p^b)^t."""
    return 1 - (1 - collision.double() ** n_bits) ** n_tables


def test_a_bucket_is_the_floor_of_the_shifted_projection() -> None:
    vectors = torch.tensor([[0.5, -1.0], [1.5, 1.0], [5.0, 2.0]])
    got = stable_hash(vectors, torch.tensor([[1.0], [2.0]]).double(), torch.tensor([0.3]).double(), 4.0)
    assert got.flatten().tolist() == [-1, 0, 2]


@pytest.mark.parametrize(("distance", "chance"), [(1, 0.80053), (2, 0.60955), (4, 0.36875), (8, 0.19542)])
def test_the_chance_of_sharing_a_bucket(distance: float, chance: float) -> None:
    assert float(stable_collision(torch.tensor(distance), 4.0)) == pytest.approx(chance, abs=5e-6)
    vectors = torch.zeros(2, 3)
    vectors[1, 0] = distance
    draw = torch.Generator().manual_seed(1)
    directions = torch.randn(3, 40_000, dtype=torch.float64, generator=draw)
    offsets = 4 * torch.rand(40_000, dtype=torch.float64, generator=draw)
    hashes = stable_hash(vectors, directions, offsets, 4.0)
    assert float((hashes[0] == hashes[1]).double().mean()) == pytest.approx(chance, abs=0.01)


def test_equal_vectors_always_share_a_bucket() -> None:
    assert float(stable_collision(torch.tensor(0.0), 4.0)) == 1.0


@pytest.mark.parametrize(("distance", "chance"), [(1, 0.985454), (4, 0.138686)])
def test_hashes_that_must_agree_in_one_of_several_tables(distance: float, chance: float) -> None:
    got = found_chance(stable_collision(torch.tensor(distance), 4.0), n_bits=4, n_tables=8)
    assert float(got) == pytest.approx(chance, abs=5e-7)


def test_the_chance_of_lying_on_one_side_of_a_hyperplane() -> None:
    assert float(hyperplane_collision(torch.tensor(math.sqrt(0.5)))) == pytest.approx(0.75, abs=1e-7)
    vectors = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    hashes = hyperplane_hash(vectors, normal(2, 40_000).double())
    assert float((hashes[0] == hashes[1]).double().mean()) == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("metric", ["ip", "cosine"])
def test_angles_on_the_sphere_order_as_the_metric_does(metric: str) -> None:
    items, queries = normal(97, 5) * (1 + normal(97, 1, seed=2).abs()), normal(7, 5, seed=1)
    placed = on_sphere(items, metric)
    assert torch.allclose(placed.norm(dim=1), torch.ones(97).double())
    wide = queries.double() if metric == "cosine" else torch.nn.functional.pad(queries.double(), (0, 1))
    by_angle = (wide @ placed.T).argsort(1, descending=True)
    assert torch.equal(by_angle, topk(queries, items, 97, metric, backend="reference")[1])


def planted(chance_of: str, queries: int, seed: int) -> tuple[Tensor, Tensor]:
    """Queries, and for each one item at an angle of 30 degrees, or at distance 2."""
    q, noise = normal(queries, 24, seed=seed).double(), normal(queries, 24, seed=seed + 1).double()
    q /= q.norm(dim=1, keepdim=True)
    across = noise - (noise * q).sum(1, keepdim=True) * q
    across /= across.norm(dim=1, keepdim=True)
    items = q + 2 * across if chance_of == "l2" else math.cos(math.pi / 6) * q + 0.5 * across
    return q.float(), items.float()


@pytest.mark.parametrize(("tables", "bits"), [(1, 3), (8, 4), (12, 8)])
@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_the_share_found_is_the_formula(metric: str, tables: int, bits: int) -> None:
    p = stable_collision(torch.tensor(2.0), 4.0) if metric == "l2" else torch.tensor(5 / 6)
    chance = float(found_chance(p, bits, tables))
    found = []
    for seed in range(40):  # hashes are shared by all pairs of a build: independent builds make the spread small
        queries, items = planted(metric, 300, 2 * seed)
        query, row = build(items, metric, tables, bits, seed, 4.0 if metric == "l2" else None).candidates(queries)
        found.append(float((query == row).double().sum() / 300))
    spread = float(torch.tensor(found).std()) / math.sqrt(len(found))
    assert float(torch.tensor(found).mean()) == pytest.approx(chance, abs=5 * spread + 1e-3)


@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
def test_candidates_share_a_key_in_some_table(metric: str) -> None:
    items, queries = normal(333, 6), normal(17, 6, seed=1)
    finder = build(items, metric, 5, 4)
    placed = items if metric == "l2" else on_sphere(items, metric)
    wide = torch.nn.functional.pad(queries, (0, 1)) if metric == "ip" else queries
    same = finder._keys_of(placed)[None] == finder._keys_of(wide)[:, None]
    assert pairs(finder, queries) == {(int(q), int(i)) for q, i in same.any(2).nonzero()}


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_agreeing_hashes_narrow_and_more_tables_widen(metric: str) -> None:
    items, queries = normal(400, 6), normal(9, 6, seed=1)
    whole = build(items, metric, 4, 3)
    known = whole._tensors

    def part(tables: slice, bits: slice) -> set[tuple[int, int]]:
        """Candidates by the hashes of some tables and bits, one by one."""
        chosen = torch.arange(12).view(4, 3)[tables, bits]
        directions, shifts = known["directions"][:, chosen.flatten()], known["shifts"][chosen.flatten()]
        if metric == "l2":
            hashes = [stable_hash(v, directions, shifts, float(known["width"])) for v in (queries, items)]
        else:
            hashes = [hyperplane_hash(v, directions) for v in (queries, items)]
        same = (hashes[0][:, None] == hashes[1][None]).unflatten(2, chosen.shape).all(3).any(2)
        return {(int(q), int(i)) for q, i in same.nonzero()}

    everything = part(slice(None), slice(None))
    assert pairs(whole, queries) == everything
    for table in range(4):
        one = part(slice(table, table + 1), slice(None))
        assert one <= everything
        for bit in range(3):
            assert one <= part(slice(table, table + 1), slice(bit, bit + 1))
    assert set.union(*(part(slice(t, t + 1), slice(None)) for t in range(4))) == everything


def test_hashing_does_not_depend_on_the_batch() -> None:
    items, queries = normal(500, 9), normal(31, 9, seed=1)
    finder = build(items, "ip", 6, 5)
    alone = {(q, row) for q in range(31) for _, row in pairs(finder, queries[q : q + 1])}
    assert alone == pairs(finder, queries)


def test_a_seed_is_one_set_of_hashes() -> None:
    items, queries = normal(300, 8), normal(9, 8, seed=1)
    assert pairs(build(items, "ip", 3, 6), queries) == pairs(build(items, "ip", 3, 6), queries)
    assert pairs(build(items, "ip", 3, 6), queries) != pairs(build(items, "ip", 3, 6, seed=1), queries)
