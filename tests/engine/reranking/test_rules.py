import numpy as np
import pytest
import torch
from pydantic import ValidationError

from headrace.data import Catalogue, IdMap, Jagged
from headrace.reranking import MaxInPrefix, MaxRun, OneInWindow, RerankSettings
from headrace.reranking.rules import catalogue_kinds, compile_rules


def test_settings_read_as_a_file_writes_them():
    settings = RerankSettings.model_validate(
        {
            "theta": 0.5,
            "rules": [
                {"rule": "max_run", "kind": "category", "k": 5},
                {"rule": "one_in_window", "kind": "marked", "window": 9},
                {"rule": "max_in_prefix", "kind": "author", "first": 4, "most": 1},
            ],
        }
    )
    assert settings.rules == (
        MaxRun(kind="category", k=5),
        OneInWindow(kind="marked", window=9),
        MaxInPrefix(kind="author", first=4, most=1),
    )


@pytest.mark.parametrize(
    "rule",
    [
        {"rule": "max_run", "kind": "category", "k": 0},
        {"rule": "one_in_window", "kind": "marked", "window": 1},
        {"rule": "max_in_prefix", "kind": "author", "first": 0, "most": 1},
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
    with pytest.raises(ValueError, match="kind: expected one of author, marked, got 'colour'"):
        compile_rules([MaxRun(kind="colour", k=2)], kinds, torch.tensor([0]))


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
