import numpy as np
import pytest
import torch

from headrace.data import Catalogue, IdMap, Jagged
from headrace.jagged import offsets_of
from headrace.reranking import MaxOnPage, MaxRun, Pin, Reranker, RerankSettings, Slots
from headrace.reranking.explain import explain
from headrace.types import Candidates

N = 80


def reranker(**settings):
    rng = np.random.default_rng(2)
    catalogue = Catalogue(
        IdMap(np.arange(N)),
        author=rng.integers(0, 12, N).astype(np.int32),
        category=Jagged(np.arange(N + 1), rng.integers(0, 3, N).astype(np.int32)),
        marked=np.arange(N) % 9 == 0,
    )
    return Reranker.from_catalogue(RerankSettings(**settings), catalogue)


def candidates(counts):
    generator = torch.Generator().manual_seed(1)
    item = torch.cat([torch.randperm(N, generator=generator)[:c] for c in counts])
    score = torch.rand(len(item), generator=generator)
    return Candidates(offsets_of(torch.tensor(counts)), item, score, torch.ones_like(item))


@pytest.mark.parametrize("method", ["dpp", "mmr", "none"])
def test_the_page_and_what_it_cost(method):
    model, given = (
        reranker(method=method, rules=(MaxRun(kind="category", k=2), MaxOnPage(kind="author", most=1))),
        candidates([60, 0, 5]),
    )
    page = model.rerank(given, 10)
    told = explain(model, given, 10)
    assert [len(one.after) for one in told] == [10, 0, 5]
    for b, one in enumerate(told):
        first, last = int(given.offsets[b]), int(given.offsets[b + 1])
        score = given.score[first:last]
        assert torch.equal(one.after, page.item[page.offsets[b] : page.offsets[b + 1]])
        assert torch.equal(one.before_score, score.sort(descending=True).values[:10])
        assert one.rank.tolist() == [int((score > s).sum()) + 1 for s in one.after_score.tolist()]
        assert not one.pinned.any()
    assert told[0].given_up == pytest.approx(float(told[0].before_score.mean() - told[0].after_score.mean()))
    assert np.isnan(told[1].given_up)
    bound = sum(bool(names) for names in told[0].bound)
    assert bound == int(page.columns["overruled"][0])


def test_rules_are_named_where_they_bind():
    rules = (MaxRun(kind="category", k=1), MaxOnPage(kind="author", most=1))
    model, given = reranker(method="none", rules=rules), candidates([60])
    one = explain(model, given, 8)[0]
    order = given.item[given.score.sort(descending=True).indices].tolist()
    category, author = model.kinds["category"].tolist(), model.kinds["author"].tolist()
    for t, item in enumerate(one.after.tolist()):
        earlier = one.after[:t].tolist()
        best = next(x for x in order if x not in earlier)
        names = []
        if best != item:
            names += ["rules[0] max_run category k=1"] if category[best] == category[earlier[-1]] else []
            names += ["rules[1] max_on_page author most=1"] if author[best] in [author[x] for x in earlier] else []
        assert one.bound[t] == names
        assert one.broken[t] == []


def test_given_away_positions_and_broken_rules():
    rules = (MaxRun(kind="marked", k=1),)
    model = reranker(rules=rules, pins=(Pin(item=9, position=2),), slots=(Slots(positions=(4, 6)),))
    given = candidates([70])
    one = explain(model, given, 8)[0]
    assert one.pinned.nonzero().flatten().tolist() == [1, 3, 5]
    assert one.after[1] == 9
    assert (one.rank[1] > 0) == bool((given.item == 9).any())
    only = reranker(rules=(MaxOnPage(kind="category", most=1),))
    one = explain(only, given, 5)[0]
    assert [bool(names) for names in one.broken] == [False, False, False, True, True]
