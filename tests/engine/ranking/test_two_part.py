import numpy as np
import pytest
import torch

from headrace.jagged import offsets_of, standardise, top_per_segment
from headrace.ranking.two_part import TwoPart
from headrace.types import Candidates

VECTORS = torch.nn.functional.normalize(torch.randn(300, 8, generator=torch.Generator().manual_seed(5)), dim=1)


def candidates(counts, seed=0):
    generator = torch.Generator().manual_seed(seed)
    item = torch.cat([torch.randperm(300, generator=generator)[:c] for c in counts])
    score = torch.randn(len(item), generator=generator)
    return Candidates(offsets_of(torch.tensor(counts)), item, score, torch.ones_like(item))


@pytest.mark.parametrize(("by_score", "theta"), [(1.0, 0.5), (0.4, 1.0), (0.0, 1.0)])
def test_without_variety_it_is_the_best_scores(by_score, theta):
    given = candidates([60, 0, 5, 20])
    index, offsets = TwoPart(VECTORS, by_score, theta).select(given, 20)
    plain, bounds = top_per_segment(given.offsets, given.score, given.item, 20)
    assert torch.equal(offsets, bounds)
    assert torch.equal(index, plain)


def test_two_parts_against_a_plain_loop():
    given = candidates([60, 31, 12, 0, 16])
    index, offsets = TwoPart(VECTORS, 0.5, 0.6).select(given, 15)
    reward = standardise(given.offsets, given.score).double().numpy()
    v = VECTORS.double().numpy()
    for b in range(given.batch):
        entries = list(range(int(given.offsets[b]), int(given.offsets[b + 1])))
        entries.sort(key=lambda e: (-float(given.score[e]), int(given.item[e])))
        kept = entries[:8]
        while len(kept) < min(15, len(entries)):
            rest = [e for e in entries if e not in kept]
            near = v[given.item[kept]] @ v[given.item[rest]].T
            kept.append(rest[int((0.6 * reward[rest] - 0.4 * near.max(0)).argmax())])
        got = index[offsets[b] : offsets[b + 1]].tolist()
        assert got == [e for e in entries if e in kept]


def test_it_widens_what_goes_on():
    rng = np.random.default_rng(0)
    centre = torch.eye(6)
    cluster = torch.from_numpy(rng.integers(0, 6, 300))
    vectors = torch.nn.functional.normalize(centre[cluster] + 0.05 * torch.randn(300, 6), dim=1)
    given = candidates([300])
    given = given.with_score(given.score + 5.0 * (cluster[given.item] == 0))
    seen = {}
    for by_score in (1.0, 0.4):
        index, _ = TwoPart(vectors, by_score, 0.3).select(given, 30)
        seen[by_score] = len(set(cluster[given.item[index]].tolist()))
    assert seen[1.0] == 1
    assert seen[0.4] == 6


def test_empty():
    index, offsets = TwoPart(VECTORS, 0.5, 0.5).select(Candidates.empty(2), 5)
    assert index.tolist() == []
    assert offsets.tolist() == [0, 0, 0]
