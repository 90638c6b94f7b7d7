import numpy as np
import pytest
import torch
from pydantic import ValidationError

from headrace.data import Catalogue, IdMap, Jagged
from headrace.jagged import offsets_of
from headrace.reranking import MaxInPrefix, MaxRun, OneInWindow, Pin, Reranker, RerankSettings, Scatter, Slots
from headrace.reranking.slots import place
from headrace.types import Candidates

N = 100


def catalogue(names=None):
    return Catalogue(
        IdMap(np.arange(1000, 1000 + N)) if names is None else IdMap(names),
        author=(np.arange(N) // 5).astype(np.int32),
        category=Jagged(np.arange(N + 1), (np.arange(N) % 7).astype(np.int32)),
        marked=np.arange(N) % 10 == 0,
    )


def candidates(lists, seed=0):
    generator = torch.Generator().manual_seed(seed)
    item = torch.tensor([row for one in lists for row in one], dtype=torch.int64)
    score = torch.rand(len(item), generator=generator)
    columns = {"p": torch.rand(len(item), 2, generator=generator)}
    return Candidates(
        offsets_of(torch.tensor([len(one) for one in lists])), item, score, torch.ones_like(item), columns
    )


def kinds():
    return {"marked": torch.where(torch.arange(N) % 10 == 0, 0, -1).int()}


def test_pinned_items_come_first_and_are_added_where_missing():
    given = candidates([[3, 4, 5], [], [7, 9]])
    pins = (Pin(item=1, position=2), Pin(item=2, position=9), Pin(item=3, position=1))
    placed = place(given, given.score + 5, 4, pins, torch.tensor([5, 50, 7]), (), kinds())
    assert placed.candidates.item.tolist() == [5, 7, 3, 4, 5, 7, 5, 7, 9]
    assert placed.candidates.offsets.tolist() == [0, 4, 6, 9]
    score = given.score.tolist()
    assert placed.candidates.score.tolist() == [score[2], 0, *score[:2], 0, 0, 0, *score[3:]]
    assert placed.candidates.channels.tolist() == [1, 0, 1, 1, 0, 0, 0, 1, 1]
    assert torch.equal(placed.candidates.columns["p"][0], given.columns["p"][2])
    assert not placed.candidates.columns["p"][1].any()
    assert placed.pinned.tolist() == [[1, 0, -1, -1]] * 3
    reward = torch.where(placed.candidates.channels > 0, placed.candidates.score + 5, 0.0)
    assert torch.equal(placed.reward, reward)


def test_slots_take_the_best_of_their_kind_and_drop_the_rest():
    given = candidates([[10, 1, 20, 2, 30, 3], [4, 40], [5, 6], []])
    given = given.with_score(torch.tensor([0.1, 0.9, 0.5, 0.8, 0.3, 0.7, 0.6, 0.2, 0.4, 0.4]))
    placed = place(given, given.score, 5, (), torch.zeros(0, dtype=torch.int64), (Slots(positions=(4, 2, 9)),), kinds())
    assert placed.candidates.item.tolist() == [1, 20, 2, 30, 3, 4, 40, 5, 6]
    assert placed.pinned.tolist() == [[-1, 1, -1, 3, -1], [-1, 1, -1, -1, -1], [-1] * 5, [-1] * 5]
    assert torch.equal(placed.reward, placed.candidates.score)


def test_positions_past_the_end_are_not_given_away():
    given = candidates([[10, 1], [2]])
    placed = place(
        given, given.score, 6, (Pin(item=1, position=5),), torch.tensor([1]), (Slots(positions=(3,)),), kinds()
    )
    assert placed.candidates.item.tolist() == [1, 10, 1, 2]
    assert placed.pinned.tolist() == [[-1] * 6] * 2


def test_a_pinned_item_of_a_kind_with_slots_keeps_its_position():
    given = candidates([[10, 20, 1, 2, 3, 4]])
    given = given.with_score(torch.tensor([0.9, 0.5, 0.4, 0.3, 0.2, 0.1]))
    placed = place(
        given, given.score, 5, (Pin(item=1, position=1),), torch.tensor([10]), (Slots(positions=(3,)),), kinds()
    )
    assert placed.pinned.tolist() == [[0, -1, 1, -1, -1]]
    assert placed.candidates.item.tolist() == [10, 20, 1, 2, 3, 4]


@pytest.mark.parametrize("method", ["dpp", "mmr", "none"])
def test_pages_have_what_was_given_away(method):
    rules = (OneInWindow(kind="marked", window=9), MaxRun(kind="author", k=1))
    settings = RerankSettings(
        method=method, rules=rules, pins=(Pin(item=1007, position=3),), slots=(Slots(positions=(4, 14)),)
    )
    lists = [torch.randperm(N, generator=torch.Generator().manual_seed(b))[:60].tolist() for b in range(6)]
    reranker = Reranker.from_catalogue(settings, catalogue())
    again = Reranker.from_state(reranker.state(), reranker.settings)
    given = candidates(lists)
    page = reranker.rerank(given, 20)
    assert torch.equal(again.rerank(given, 20).item, page.item)
    rows = page.item.reshape(6, 20)
    assert (rows[:, 2] == 7).all()
    for b, row in enumerate(rows.tolist()):
        assert len(set(row)) == 20
        marked = sorted(((-float(given.score[b * 60 + i]), item) for i, item in enumerate(lists[b]) if item % 10 == 0))
        assert [item for item in row if item % 10 == 0] == [item for _, item in marked[:2]]
        assert row[3] % 10 == row[13] % 10 == 0
    assert page.columns["pinned"].reshape(6, 20).sum(0).nonzero().flatten().tolist() == [2, 3, 13]
    # Two items of one author next to each other: only where the second stands in a slot.
    author = rows // 5
    broken = torch.zeros(6, 20, dtype=torch.bool)
    broken[:, 1:] = author[:, 1:] == author[:, :-1]
    assert torch.equal(page.columns["broken"].reshape(6, 20) >> 1 & 1 == 1, broken)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"pins": [{"item": 1, "position": 2}, {"item": 3, "position": 2}]},
            r"pins\[1\]: position 2 is taken by pins\[0\]",
        ),
        (
            {"pins": [{"item": 1, "position": 2}, {"item": 1, "position": 3}]},
            r"pins\[1\]: item 1 is pinned to position 2",
        ),
        ({"pins": [{"item": 1, "position": 0}]}, "greater than or equal to 1"),
        (
            {"pins": [{"item": 1, "position": 4}], "slots": [{"positions": [1, 4]}]},
            r"slots\[0\]: position 4 is taken by pins",
        ),
        ({"slots": [{"positions": [4, 4]}]}, r"slots\[0\]: position 4 is taken by slots\[0\]"),
        ({"slots": [{"positions": [0]}]}, r"slots\[0\]: positions: expected 1 to 1000, got 0"),
        ({"slots": [{"positions": []}]}, "at least 1 item"),
        ({"slots": [{"positions": [4]}, {"positions": [9]}]}, r"slots\[1\]: kind marked has its slots in slots\[0\]"),
        (
            {"slots": [{"positions": [4, 10]}], "rules": [{"rule": "one_in_window", "kind": "marked", "window": 9}]},
            r"rules\[0\] one_in_window marked window=9 most=1: contradicts slots\[0\], which puts marked at 10",
        ),
        (
            {"slots": [{"positions": [1]}], "rules": [MaxInPrefix(kind="marked", first=4, most=0)]},
            r"rules\[0\] max_in_prefix marked first=4 most=0: contradicts slots\[0\], which puts marked at 1",
        ),
    ],
)
def test_contradictions_are_named(settings, words):
    with pytest.raises(ValidationError, match=words):
        RerankSettings.model_validate(settings)


def test_pins_that_break_a_rule_or_are_unknown():
    pins = (Pin(item=1000, position=1), Pin(item=1001, position=4))
    settings = RerankSettings(pins=pins, rules=(MaxRun(kind="category", k=1), Scatter(kind="author", gap=3)))
    with pytest.raises(
        ValueError, match=r"rules\[1\] scatter author gap=3: contradicts pins, which put item 1001 at pos"
    ):
        Reranker.from_catalogue(settings, catalogue())
    with pytest.raises(ValueError, match=r"pins\[0\]: item 7 is not in the catalogue"):
        Reranker.from_catalogue(RerankSettings(pins=(Pin(item=7, position=1),)), catalogue())
    with pytest.raises(ValueError, match="pins: item: ids: expected string ids"):
        Reranker.from_catalogue(
            RerankSettings(pins=(Pin(item=7, position=1),)), catalogue([f"i{n:03}" for n in range(N)])
        )
    with pytest.raises(ValueError, match=r"slots\[0\]: kind: expected one of author, category, marked, got 'advert'"):
        Reranker.from_catalogue(RerankSettings(slots=(Slots(kind="advert", positions=(1,)),)), catalogue())
    with pytest.raises(ValueError, match="pins: expected 1 rows"):
        Reranker(RerankSettings(pins=(Pin(item=7, position=1),)), torch.eye(3), {})


def test_a_page_of_any_size_is_what_there_is():
    settings = RerankSettings(
        pins=(Pin(item=1050, position=30), Pin(item=1051, position=2)),
        slots=(Slots(positions=(3, 40)),),
        rules=(MaxRun(kind="author", k=2),),
    )
    reranker = Reranker.from_catalogue(settings, catalogue())
    for lists in ([list(range(25)), [], [10, 20, 30, 7]], []):
        given = candidates(lists)
        page, same = reranker.rerank(given, 200), reranker.rerank(given, 2**31 - 1)
        assert page.item.tolist() == same.item.tolist()
        assert page.offsets.tolist() == same.offsets.tolist()
        assert all(torch.equal(column, same.columns[name]) for name, column in page.columns.items())
