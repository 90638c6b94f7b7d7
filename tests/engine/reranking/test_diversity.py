import pytest
import torch
from rerank_worlds import N, candidates, catalogue

from headrace.jagged import standardise
from headrace.kernels.diversity import dpp, mmr
from headrace.reranking import MaxRun, OneInWindow, Reranker, RerankSettings
from headrace.types import Candidates


@pytest.mark.parametrize(("method", "kernel"), [("dpp", dpp), ("mmr", mmr)])
def test_page_is_what_the_kernel_picks(method, kernel):
    settings = RerankSettings(method=method, theta=0.6, window=5)
    reranker = Reranker.from_catalogue(settings, catalogue())
    given = candidates([120, 0, 3, 64])
    page = reranker.rerank(given, 20)
    assert page.counts.tolist() == [20, 0, 3, 20]
    rewards = standardise(given.offsets, given.score)
    picked, gain = kernel(reranker.vectors[given.item], rewards, given.offsets, 20, 0.6, 5)
    index = (picked + given.offsets[:-1, None])[picked >= 0]
    assert torch.equal(page.columns["tag"], index)
    assert torch.equal(page.item, given.item[index])
    assert torch.equal(page.score, given.score[index])
    assert torch.equal(page.channels, given.channels[index])
    assert torch.equal(page.columns["gain"], gain[picked >= 0])
    assert not page.columns["relaxed"].any()


def test_score_alone_without_diversity():
    reranker = Reranker.from_catalogue(RerankSettings(method="none"), catalogue())
    given = candidates([50, 9])
    page = reranker.rerank(given, 10)
    for b, count in enumerate([10, 9]):
        scores = given.score[given.offsets[b] : given.offsets[b + 1]]
        assert torch.equal(page.score[page.offsets[b] : page.offsets[b + 1]], scores.sort(descending=True)[0][:count])


@pytest.mark.parametrize("method", ["dpp", "mmr"])
def test_diversity_costs_little_score_and_widens_the_page(method):
    source = catalogue()
    kinds = torch.from_numpy(source.first_category()).long()
    given = candidates([300] * 20)
    # Two categories score high, so that score alone shows nearly nothing else.
    given = given.with_score(given.score + 4.0 * (kinds[given.item] < 2))
    rows = {}
    for name, settings in (("none", RerankSettings(method="none")), ("some", RerankSettings(method=method, theta=0.5))):
        page = Reranker.from_catalogue(settings, source).rerank(given, 20)
        seen = torch.zeros(20, 6).index_put_((page.request, kinds[page.item]), torch.ones(len(page)))
        rows[name] = (seen.sum(1).mean(), page.score.mean())
    assert rows["some"][0] > rows["none"][0] + 0.5
    assert rows["some"][1] > given.score.mean()


def test_relaxed_rules_are_counted_for_each_request():
    kinds = {"kind": torch.zeros(N, dtype=torch.int32)}
    settings = RerankSettings(rules=(OneInWindow(kind="kind", window=2),))
    page = Reranker(settings, torch.eye(N, 64) + 0.1, kinds).rerank(candidates([10, 1]), 5)
    assert page.columns["relaxed"].tolist() == [4] * 5 + [0]


@pytest.mark.parametrize("rules", [(), (MaxRun(kind="author", k=2), OneInWindow(kind="marked", window=9))])
def test_state_round_trip(rules):
    reranker = Reranker.from_catalogue(RerankSettings(theta=0.4, window=None, rules=rules), catalogue())
    again = Reranker.from_state(reranker.state(), reranker.settings)
    assert again.settings == reranker.settings
    given = candidates([60, 31])
    assert torch.equal(again.rerank(given, 20).item, reranker.rerank(given, 20).item)


def test_each_request_is_ranked_by_itself():
    reranker = Reranker.from_catalogue(RerankSettings(), catalogue())
    given = candidates([60, 31, 7])
    whole = reranker.rerank(given, 12)
    for b in range(3):
        part = slice(int(given.offsets[b]), int(given.offsets[b + 1]))
        alone = Candidates(
            torch.tensor([0, part.stop - part.start]), given.item[part], given.score[part], given.channels[part]
        )
        page = reranker.rerank(alone, 12)
        assert torch.equal(page.item, whole.item[whole.offsets[b] : whole.offsets[b + 1]])
        assert torch.equal(page.columns["gain"], whole.columns["gain"][whole.offsets[b] : whole.offsets[b + 1]])


def test_standardise():
    score = torch.tensor([1.0, 2, 3, 0.1, 0.1, 0.1, 5])
    out = standardise(torch.tensor([0, 3, 3, 6, 7]), score)
    assert out[:3].tolist() == pytest.approx([-(1.5**0.5), 0, 1.5**0.5])
    assert out[3:].tolist() == [0, 0, 0, 0]
    torch.testing.assert_close(standardise(torch.tensor([0, 3]), score[:3] * 1e6 - 5e5), out[:3])
    assert standardise(torch.tensor([0]), torch.zeros(0)).shape == (0,)


def test_empty():
    reranker = Reranker.from_catalogue(RerankSettings(rules=(MaxRun(kind="author", k=1),)), catalogue())
    for batch in (0, 3):
        page = reranker.rerank(Candidates.empty(batch), 5)
        assert page.batch == batch
        assert len(page) == 0


def test_bad_input_is_named():
    reranker = Reranker.from_catalogue(RerankSettings(), catalogue())
    given = candidates([5])
    with pytest.raises(ValueError, match="k: expected at least 1"):
        reranker.rerank(given, 0)
    with pytest.raises(ValueError, match=r"candidates.score: expected finite"):
        reranker.rerank(given.with_score(given.score / 0), 3)
    with pytest.raises(ValueError, match=r"candidates.item: expected rows 0 to 399"):
        reranker.rerank(Candidates(given.offsets, given.item + N, given.score, given.channels), 3)
    with pytest.raises(ValueError, match=r"kinds\['a'\]: expected int32"):
        Reranker(RerankSettings(), torch.zeros(3, 2), {"a": torch.zeros(2, dtype=torch.int32)})
    with pytest.raises(ValueError, match="vectors: expected float32"):
        Reranker(RerankSettings(), torch.zeros(3), {})
    with pytest.raises(ValueError, match="kind: expected one of"):
        Reranker(
            RerankSettings(rules=(MaxRun(kind="colour", k=1),)),
            torch.zeros(3, 2),
            {"a": torch.zeros(3, dtype=torch.int32)},
        )
