"""What a request may ask for: its time, its size, what it blocks; and what is remembered of its page."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch

from headrace.data import Dataset
from headrace.exposure.filter import DAY_MS
from headrace.serving import Engine
from headrace.types import Page


def some_users(data: Dataset, count: int) -> list[int]:
    return [int(u) for u in data.users.ids.external(np.unique(data.log.user)[:count])]


def test_returned_is_not_seen_until_it_is_confirmed(engine: Engine, small_log: Dataset) -> None:
    user = some_users(small_log, 1)
    page = engine.recommend(user, 10)[0]
    assert page.at == engine.as_of
    assert engine.recommend(user, 10)[0].items == page.items
    engine.confirm(page, page.items[:3])
    seen = engine.recommend(user, 400)[0].items
    assert [item in seen for item in page.items] == [False] * 3 + [True] * 7
    engine.confirm(page, [4])
    seen = engine.recommend(user, 400)[0].items
    assert [item in seen for item in page.items] == [False] * 3 + [True, False] + [True] * 5
    engine.confirm(page)
    assert not set(page.items) & set(engine.recommend(user, 400)[0].items)


def test_confirming_twice_is_confirming_once(engine: Engine, small_log: Dataset) -> None:
    page = engine.recommend(some_users(small_log, 1), 10)[0]
    engine.confirm(page, page.items[:4])
    engine.confirm(page)
    once = engine.funnel.exposure.state()
    engine.confirm(page)
    engine.confirm(page, page.items[2:5])
    twice = engine.funnel.exposure.state()
    assert once.facts == twice.facts
    assert all(torch.equal(tensor, twice.tensors[name]) for name, tensor in once.tensors.items())
    row = torch.from_numpy(small_log.users.ids.rows([page.user]))
    last = small_log.catalogue.ids.external(engine.funnel.exposure.recent(row)[0, :10].numpy()).tolist()
    assert last[::-1] == page.items


def test_what_is_not_on_the_page_cannot_have_been_seen(engine: Engine, small_log: Dataset) -> None:
    page = engine.recommend(some_users(small_log, 1), 10)[0]
    for wrong in ([10], [page.items[0], 3], ["a"], [-1]):
        with pytest.raises(ValueError, match=r"shown: expected ids of its items or positions 0 to 9, got"):
            engine.confirm(page, wrong)  # type: ignore[arg-type]
    # Where an id could be a position, it is an id.
    small = dataclasses.replace(page, items=[3, *page.items[1:]])
    with pytest.raises(ValueError, match=r"shown: expected ids of its items, got 2"):
        engine.confirm(small, [2])
    unknown = engine.recommend([-77], 10)[0]
    engine.confirm(unknown)
    assert engine.recommend([-77], 10)[0].items == unknown.items


def blocks_of(data: Dataset, page: Page) -> dict[str, list[Any]]:
    """An item, an author, a category and a keyword of one page, by their outer names."""
    catalogue = data.catalogue
    assert catalogue.author is not None
    assert catalogue.category is not None
    assert catalogue.keyword is not None
    rows = catalogue.ids.rows(page.items)
    category = catalogue.category.values[catalogue.category.offsets[rows[2]] + 1]
    return {
        "item": [page.items[0], 5],
        "author": [int(catalogue.author[rows[1]])],
        "category": [catalogue.names["category"][category], "no such"],
        "keyword": [int(catalogue.keyword.values[catalogue.keyword.offsets[rows[3]]])],
    }


@pytest.mark.parametrize("kind", ["item", "author", "category", "keyword"])
def test_what_a_request_blocks_is_not_on_its_page(engine: Engine, small_log: Dataset, kind: str) -> None:
    users, catalogue = some_users(small_log, 3), small_log.catalogue
    plain = engine.recommend(users, 20)
    block = {kind: blocks_of(small_log, plain[1])[kind]}
    pages = engine.recommend(users, 20, blocked=[{}, block, {}], reasons=True)
    assert [page.items for page in (pages[0], pages[2])] == [page.items for page in (plain[0], plain[2])]
    assert engine.recommend(users[1:2], 20, blocked=[block])[0].items == pages[1].items
    assert len(pages[1].items) == 20

    def has(item: Any) -> bool:
        row = catalogue.ids.rows([item])[0]
        if kind == "item":
            return item in block[kind]
        if kind == "author":
            return catalogue.author[row] in block[kind]  # type: ignore[index]
        table = getattr(catalogue, kind)
        codes = table.values[table.offsets[row] : table.offsets[row + 1]].tolist()
        return bool(set(block[kind]) & {catalogue.names[kind][c] if kind in catalogue.names else c for c in codes})

    assert any(map(has, plain[1].items))
    whole = engine.recommend(users[1:2], 400, blocked=[block])[0].items
    assert not any(map(has, whole))
    left = [item for item in engine.recommend(users[1:2], 400)[0].items if not has(item)]
    assert set(left) <= set(whole)
    assert pages[1].reasons is not None
    assert all(map(has, pages[1].reasons["removed as blocked"]))  # type: ignore[call-overload]
    assert pages[1].reasons["removed as blocked"]


def test_blocks_outlive_a_save_and_bad_ones_are_named(engine: Engine, small_log: Dataset) -> None:
    users = some_users(small_log, 2)
    for blocked, words in (
        ([{}], r"blocked: expected 2 mappings, one a user, got 1"),
        ({"item": [1]}, r"blocked: expected 2 mappings, one a user, got one mapping"),
        ([{}, {"tag": [1]}], r"blocked\[1\]: expected one of item, author, category, keyword, got str 'tag'"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            engine.recommend(users, blocked=blocked)  # type: ignore[arg-type]
    for blocked, words in (
        ([{"item": ["a"]}, {}], r"blocked\[0\]: item: ids: expected integer ids"),
        ([{"category": [3]}, {}], r"blocked\[0\]: category: expected texts, got 3"),
        ([{}, {"author": ["x"]}], r"blocked\[1\]: author: expected integer codes, got 'x'"),
        ([{}, {"category": "news"}], r"blocked\[1\]: category: expected a sequence of ids, got str 'news'"),
    ):
        with pytest.raises(TypeError, match=words):
            engine.recommend(users, blocked=blocked)  # type: ignore[arg-type]


@pytest.mark.parametrize("k", [10_000, 100_000, 2**31 - 1])
def test_a_page_costs_what_there_is_and_not_what_is_asked_for(engine: Engine, small_log: Dataset, k: int) -> None:
    users = some_users(small_log, 4)
    left = [len(small_log.catalogue) - len(page.reasons["removed by the exposure filter"])  # type: ignore[index, arg-type]
            for page in engine.recommend(users, 10, reasons=True)]  # fmt: skip
    pages = engine.recommend(users, k)
    total = engine.settings.merge.total
    assert [len(page.items) for page in pages] == [total] * 4
    assert min(left) >= total


@pytest.mark.parametrize("k", [2**31, 2**63, 10**30, -1])
def test_an_impossible_k_is_refused_by_name(engine: Engine, small_log: Dataset, k: int) -> None:
    with pytest.raises(ValueError, match=f"k: expected .*, got {k}"):
        engine.recommend(some_users(small_log, 1), k)
    with pytest.raises(TypeError, match=r"k: expected an integer, got float 2.5"):
        engine.recommend(some_users(small_log, 1), 2.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "kind", [np.array, list, lambda ids: [np.int64(one) for one in ids], lambda ids: np.array(ids, np.int32)]
)
def test_pages_are_json_whatever_integers_came(engine: Engine, small_log: Dataset, kind: Any) -> None:
    users = some_users(small_log, 3)
    pages = engine.recommend(kind(users), np.int64(5), at=np.int64(engine.as_of), reasons=True)  # type: ignore[arg-type]
    assert [type(page.user) for page in pages] == [int] * 3
    assert [json.loads(json.dumps(dataclasses.asdict(page)))["user"] for page in pages] == users


@pytest.mark.parametrize(
    ("scale", "unit"), [(1 / 1000, "seconds"), (1000, "microseconds"), (10**6, "nanoseconds"), (1 / 86_400_000, "days")]
)
def test_a_time_in_another_unit_is_refused_by_its_name(
    engine: Engine, small_log: Dataset, scale: float, unit: str
) -> None:
    with pytest.raises(
        ValueError, match=rf"at: expected milliseconds since the epoch.* got \d+, which looks like {unit}$"
    ):
        engine.recommend(some_users(small_log, 1), at=int(engine.as_of * scale))


@pytest.mark.parametrize("at", [0, -1, 2**63 - 1, 2**70])
def test_a_time_of_no_unit_is_refused(engine: Engine, small_log: Dataset, at: int) -> None:
    with pytest.raises(ValueError, match=rf"at: expected .* got {at}$"):
        engine.recommend(some_users(small_log, 1), at=at)


@pytest.mark.parametrize("at", [float("nan"), 1.7e12, "now"])
def test_a_time_that_is_no_integer_is_refused(engine: Engine, small_log: Dataset, at: Any) -> None:
    with pytest.raises(TypeError, match="at: expected an integer, milliseconds since the epoch, got"):
        engine.recommend(some_users(small_log, 1), at=at)


def test_a_request_400_days_later_has_forgotten_and_forgets_nothing_for_others(
    engine: Engine, small_log: Dataset
) -> None:
    users, later = some_users(small_log, 6), engine.as_of + 400 * DAY_MS
    first = engine.recommend(users, 20, record=True)
    after = engine.recommend(users, 400, at=later)
    assert all(set(a.items) <= set(b.items) for a, b in zip(first, after, strict=True) if len(b.items) == 400)
    seen = engine.recommend(users[:1], 20, at=later, record=True)[0]
    assert not set(seen.items) & set(engine.recommend(users[:1], 400, at=np.int64(later))[0].items)
    again = engine.recommend(users[1:], 400)
    assert not any(set(a.items) & set(b.items) for a, b in zip(first[1:], again, strict=True))
