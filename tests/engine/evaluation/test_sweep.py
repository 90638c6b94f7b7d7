import numpy as np
import pytest
import torch

from headrace.evaluation.sweep import pickers, ranked, sweep, wanted_of
from headrace.jagged import offsets_of, standardise
from headrace.kernels.diversity import dpp
from headrace.reranking import Reranker, RerankSettings
from headrace.reranking.variety import intra_list_distance
from headrace.types import Candidates

N = 200


def batches():
    generator = torch.Generator().manual_seed(0)
    out = []
    for counts in ([40, 60], [0, 50, 30]):
        item = torch.cat([torch.randperm(N, generator=generator)[:c] for c in counts])
        score = torch.randn(len(item), generator=generator)
        out.append(Candidates(offsets_of(torch.tensor(counts)), item, score, torch.ones_like(item)))
    return out


def reranker():
    generator = torch.Generator().manual_seed(1)
    vectors = torch.nn.functional.normalize(torch.randn(N, 16, generator=generator), dim=1)
    return Reranker(RerankSettings(), vectors, {"category": torch.randint(0, 9, (N,), generator=generator).int()})


def test_rows_are_means_over_the_requests():
    model, given = reranker(), batches()
    wanted = wanted_of(torch.tensor([0, 2, 2, 3, 6, 6]), torch.arange(6), 2)
    assert [len(offsets) - 1 for offsets, _ in wanted] == [2, 2, 1]
    wanted = [wanted[0], (torch.tensor([0, 1, 4, 4]), torch.arange(2, 6))]
    found = sweep(model, given, 10, 5, wanted, thetas=(0.4, 1.0))
    assert [(row.method, row.theta) for row in found.rows] == [
        (name.upper(), theta) for name in pickers() for theta in (0.4, 1.0)
    ]
    assert (found.requests, found.k, found.window, found.candidates, found.held_out) == (4, 10, 5, 45.0, True)
    pages, rewards, hits = [], [], 0
    for one, (offsets, items) in zip(given, wanted, strict=True):
        reward = standardise(one.offsets, one.score)
        picked, _ = dpp(model.vectors[one.item], reward, one.offsets, 10, 0.4, 5)
        for b in range(one.batch):
            entries = one.offsets[b] + picked[b][picked[b] >= 0]
            if len(entries):
                pages.append(one.item[entries].numpy())
                rewards.append(float(reward[entries].mean()))
                hits += len(set(pages[-1].tolist()) & set(items[offsets[b] : offsets[b + 1]].tolist()))
    first = found.rows[0]
    assert first.reward == pytest.approx(np.mean(rewards))
    assert first.distance == pytest.approx(intra_list_distance(np.stack(pages), model.vectors.numpy()).mean())
    assert first.categories == pytest.approx(np.mean([len(set(model.kinds["category"][p].tolist())) for p in pages]))
    assert first.hits == pytest.approx(hits / 4)
    assert first.ms > 0
    assert [(row.method, row.theta) for row in found.search] == [
        (m, t) for m in ("DPP", "MSD") for t in (0.3, 0.5, 0.7)
    ]
    for row in found.search:
        assert row.searched >= row.greedy - 1e-9
        assert (row.exchanged > 0) == (row.searched > row.greedy + 1e-9)


def test_at_theta_1_reward_alone_decides():
    found = sweep(reranker(), batches(), 8, None, thetas=(0.2, 1.0))
    alone = [row for row in found.rows if row.theta == 1.0 and row.method in ("DPP", "MMR", "SSD", "MSD")]
    assert len({round(row.reward, 6) for row in alone}) == 1
    assert len({round(row.distance, 6) for row in alone}) == 1
    for row in found.rows:
        assert np.isnan(row.hits)
        assert row.reward <= alone[0].reward + 1e-6


def test_nothing_to_pick_from():
    with pytest.raises(ValueError, match="requests: expected at least 1 with 16 ranked candidates or more, got none"):
        sweep(reranker(), [Candidates.empty(3)], 8, None)


def test_short_lists_are_left_out(engine):
    requests = engine.requests(np.array([0, 1, -1]))
    counts = engine.funnel.run(requests, 5).ranked.counts
    (found,) = ranked(engine.funnel, [requests], int(counts.max()) // 2)
    assert found.counts.tolist() == [int(c) if c >= int(counts.max()) // 2 * 2 else 0 for c in counts]
