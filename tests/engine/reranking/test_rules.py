import numpy as np
import pytest
import torch
from pydantic import ValidationError

from headrace.data import Catalogue, IdMap, Jagged
from headrace.reranking import MaxInPrefix, MaxOnPage, MaxRun, OneInWindow, RerankSettings, Scatter
from headrace.reranking.rules import broken, catalogue_kinds, check_kinds, compile_rules, name_of


def test_settings_read_as_a_file_writes_them():
    settings = RerankSettings.model_validate(
        {
            "theta": 0.5,
            "rules": [
                {"rule": "max_run", "kind": "category", "k": 5},
                {"rule": "one_in_window", "kind": "marked", "window": 9},
                {"rule": "max_in_prefix", "kind": "author", "first": 4, "most": 1},
                {"rule": "scatter", "kind": "cluster", "gap": 10},
                {"rule": "max_on_page", "kind": "author", "most": 3},
            ],
        }
    )
    assert settings.rules == (
        MaxRun(kind="category", k=5),
        OneInWindow(kind="marked", window=9),
        MaxInPrefix(kind="author", first=4, most=1),
        Scatter(kind="cluster", gap=10),
        MaxOnPage(kind="author", most=3),
    )
    assert name_of(settings.rules, 0) == "rules[0] max_run category k=5"
    assert name_of(settings.rules, 1) == "rules[1] one_in_window marked window=9 most=1"


@pytest.mark.parametrize(
    "rule",
    [
        {"rule": "max_run", "kind": "category", "k": 0},
        {"rule": "one_in_window", "kind": "marked", "window": 1},
        {"rule": "max_in_prefix", "kind": "author", "first": 0, "most": 1},
        {"rule": "max_in_prefix", "kind": "author", "first": 4, "most": 4},
        {"rule": "one_in_window", "kind": "marked", "window": 3, "most": 3},
        {"rule": "scatter", "kind": "author", "gap": 0},
        {"rule": "max_on_page", "kind": "author", "most": 0},
        {"rule": "unheard_of", "kind": "author"},
        {"rule": "max_run", "kind": "category", "k": 5, "extra": 1},
    ],
)
def test_bad_settings_are_refused(rule):
    with pytest.raises(ValidationError):
        RerankSettings.model_validate({"rules": [rule]})


def test_compiled_rules():
    kinds = {
        "author": torch.tensor([5, 6, -1], dtype=torch.int32),
        "marked": torch.tensor([-1, 0, -1], dtype=torch.int32),
    }
    listed = [
        MaxRun(kind="author", k=5),
        OneInWindow(kind="marked", window=9),
        MaxInPrefix(kind="author", first=1, most=0),
    ]
    rules = compile_rules(listed, kinds, torch.tensor([2, 0, 0, 1]))
    assert rules.kinds.tolist() == [[-1, 5, 5, 6], [-1, -1, -1, 0], [-1, 5, 5, 6]]
    assert rules.limits.tolist() == [[6, 5, 0], [9, 1, 0], [1, 0, 1]]
    assert compile_rules([], kinds, torch.tensor([0])) is None
    with pytest.raises(ValueError, match=r"rules\[0\] max_run colour k=2: kind: expected one of author, marked, got"):
        check_kinds([MaxRun(kind="colour", k=2)], kinds)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (MaxRun(kind="a", k=2), MaxRun(kind="a", k=5)),
        (Scatter(kind="a", gap=8), Scatter(kind="a", gap=3)),
        (OneInWindow(kind="a", window=9), OneInWindow(kind="a", window=18, most=2)),
        (MaxOnPage(kind="a", most=2), MaxOnPage(kind="a", most=3)),
        (MaxInPrefix(kind="a", first=8, most=1), MaxInPrefix(kind="a", first=4, most=1)),
        (MaxInPrefix(kind="a", first=4, most=1), MaxInPrefix(kind="a", first=6, most=3)),
    ],
)
def test_a_rule_that_cannot_act_is_named(first, second):
    with pytest.raises(ValidationError, match=rf"rules\[1\] {second.words}: can never act, since rules\[0\]"):
        RerankSettings(rules=(first, second))
    assert RerankSettings(rules=(second, first)).rules == (second, first)
    assert RerankSettings(rules=(first, second.model_copy(update={"kind": "b"})))
    with pytest.raises(ValidationError, match="can never act"):
        RerankSettings(rules=(first, first))


def test_too_many_rules():
    with pytest.raises(ValidationError, match="rules: expected at most 31, got 32"):
        RerankSettings(rules=tuple(MaxRun(kind=f"k{i}", k=1) for i in range(32)))


@pytest.mark.parametrize("k", [1, 7, 16, 33])
def test_broken_is_what_counting_says(k):
    rng = np.random.default_rng(k)
    kinds = {"a": torch.from_numpy(rng.integers(-1, 3, 40).astype(np.int32))}
    pages = torch.from_numpy(np.stack([rng.permutation(40)[:k] for _ in range(5)]))
    pages[1, k // 2 :] = -1
    rules = [
        MaxRun(kind="a", k=2),
        Scatter(kind="a", gap=3),
        OneInWindow(kind="a", window=6, most=2),
        MaxInPrefix(kind="a", first=4, most=1),
        MaxInPrefix(kind="a", first=1, most=0),
        MaxOnPage(kind="a", most=4),
    ]
    got = broken(rules, kinds, pages)
    for b, row in enumerate(pages.tolist()):
        seen = [int(kinds["a"][item]) if item >= 0 else -1 for item in row]
        for t, kind in enumerate(seen):
            before = seen[:t]
            run = t - max([-1, *(i for i in range(t) if seen[i] != kind)]) - 1
            expected = [
                run >= 2 and all(x == kind for x in before[-2:]),
                kind in before[-3:],
                before[-5:].count(kind) >= 2,
                t < 4 and kind in before,
                t == 0,
                before.count(kind) >= 4,
            ]
            assert got[:, b, t].tolist() == [kind >= 0 and bool(x) for x in expected]


def test_kinds_of_a_catalogue():
    catalogue = Catalogue(
        IdMap([10, 20, 30]),
        author=np.array([4, -1, 4], np.int32),
        category=Jagged(np.array([0, 2, 2, 3]), np.array([7, 1, 8], np.int32)),
        marked=np.array([True, False, False]),
    )
    kinds = catalogue_kinds(catalogue)
    assert {name: column.tolist() for name, column in kinds.items()} == {
        "author": [4, -1, 4],
        "category": [7, -1, 8],
        "marked": [0, -1, -1],
    }
    assert all(column.tolist() == [-1, -1] for column in catalogue_kinds(Catalogue(IdMap([1, 2]))).values())


def test_the_rules_cost_what_there_is() -> None:
    kinds = {"author": torch.arange(1000, dtype=torch.int32) % 7}
    pages = torch.arange(200_000)[None] % 1000
    pages[0, -3:] = -1
    found = broken([MaxOnPage(kind="author", most=3), MaxRun(kind="author", k=1)], kinds, pages)
    assert found.sum(2).tolist() == [[200_000 - 3 - 7 * 3], [int((pages[0, 1:-3] % 7 == pages[0, :-4] % 7).sum())]]
