import numpy as np
import pytest
import torch

from headrace.jagged import offsets_of, standardise
from headrace.ranking.select import Select, Variety
from headrace.types import Candidates

VECTORS = torch.nn.functional.normalize(torch.randn(300, 8, generator=torch.Generator().manual_seed(5)), dim=1)


def candidates(counts, seed=0):
    generator = torch.Generator().manual_seed(seed)
    item = torch.cat([torch.randperm(300, generator=generator)[:c] for c in counts])
    score = torch.randn(len(item), generator=generator)
    return Candidates(offsets_of(torch.tensor(counts)), item, score, torch.ones_like(item))


@pytest.mark.parametrize("variety", [None, (1.0, 0.5), (0.4, 1.0), (0.0, 1.0)])
def test_without_variety_it_is_the_best_scores(variety):
    given = candidates([60, 0, 5, 20])
    kept = Select(20, None if variety is None else Variety(VECTORS, *variety)).select(given)
    assert kept.counts.tolist() == [20, 0, 5, 20]
    for b in range(given.batch):
        of = slice(*given.offsets[b : b + 2].tolist())
        score, item = given.score[of].numpy(), given.item[of].numpy()
        best = np.lexsort((item, -score))[:20]
        assert kept.item[slice(*kept.offsets[b : b + 2].tolist())].tolist() == item[best].tolist()


def test_ties_go_to_the_lower_item():
    given = Candidates(torch.tensor([0, 4]), torch.tensor([9, 4, 7, 2]), torch.tensor([1.0, 2.0, 1.0, 1.0]),
                       torch.ones(4, dtype=torch.int64))  # fmt: skip
    assert Select(3).select(given).item.tolist() == [4, 2, 7]


def test_keep_below_one_is_refused():
    with pytest.raises(ValueError, match="keep: expected at least 1, got 0"):
        Select(0)


def test_two_parts_against_a_plain_loop():
    given = candidates([60, 31, 12, 0, 16])
    kept_items = Select(15, Variety(VECTORS, 0.5, 0.6)).select(given)
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
        got = kept_items.item[kept_items.offsets[b] : kept_items.offsets[b + 1]].tolist()
        assert got == [int(given.item[e]) for e in entries if e in kept]


def test_it_widens_what_goes_on():
    rng = np.random.default_rng(0)
    centre = torch.eye(6)
    cluster = torch.from_numpy(rng.integers(0, 6, 300))
    vectors = torch.nn.functional.normalize(centre[cluster] + 0.05 * torch.randn(300, 6), dim=1)
    given = candidates([300])
    given = given.with_score(given.score + 5.0 * (cluster[given.item] == 0))
    seen = {}
    for by_score in (1.0, 0.4):
        kept = Select(30, Variety(vectors, by_score, 0.3)).select(given)
        seen[by_score] = len(set(cluster[kept.item].tolist()))
    assert seen[1.0] == 1
    assert seen[0.4] == 6


def test_empty():
    for variety in (None, Variety(VECTORS, 0.5, 0.5)):
        kept = Select(5, variety).select(Candidates.empty(2))
        assert kept.item.tolist() == []
        assert kept.offsets.tolist() == [0, 0, 0]
