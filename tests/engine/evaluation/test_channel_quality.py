"""What each channel brings, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.evaluation.channels import measure_recall
from headrace.evaluation.held_out import HeldOut
from headrace.jagged import offsets_of
from headrace.types import Requests

ITEMS = 23


def question_of(wanted: list[list[int]]) -> HeldOut:
    requests = Requests(torch.arange(len(wanted)), torch.zeros(len(wanted), dtype=torch.int64))
    flat = torch.tensor([item for one in wanted for item in one], dtype=torch.int64)
    offsets = offsets_of(torch.tensor([len(one) for one in wanted]))
    return HeldOut(requests, offsets, flat, torch.ones(len(flat), dtype=torch.float64), np.zeros(ITEMS, np.int64), 1)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), batch=st.sampled_from([1, 2, 7]), length=st.sampled_from([1, 5, 12]))
def test_equals_counting(seed: int, batch: int, length: int) -> None:
    random = np.random.default_rng(seed)
    names, quotas = ["a_b", "c", "d"], [3, length, 1]
    lists = {}
    for name in names:
        found = np.stack([random.permutation(ITEMS)[:length] for _ in range(batch)])
        found[np.arange(length) >= random.integers(0, length + 1, batch)[:, None]] = -1
        lists[name] = found
    wanted = [random.permutation(ITEMS)[: random.integers(0, 4)].tolist() for _ in range(batch)]
    seen = measure_recall(lists, quotas, question_of(wanted))

    brought = {
        name: {(b, i) for b in range(batch) for i in lists[name][b, :quota].tolist() if i >= 0}
        for name, quota in zip(names, quotas, strict=True)
    }
    truth = {(b, i) for b in range(batch) for i in wanted[b]}
    for c, (name, row) in enumerate(zip(names, seen.rows, strict=True)):
        assert row.name == name.replace("_", " ")
        others = set().union(*(brought[other] for other in names if other != name))
        if truth:
            assert row.found == pytest.approx(len(brought[name] & truth) / len(truth))
            assert row.unique == pytest.approx(len((brought[name] - others) & truth) / len(truth))
        else:
            assert row.found is None
            assert row.unique is None
        assert row.brought == pytest.approx(len(brought[name]) / batch)
        for d, other in enumerate(names):
            both = brought[name] & brought[other]
            assert seen.overlap[c][d] == (pytest.approx(len(both) / len(brought[name])) if brought[name] else None)
        asked = [b for b in range(batch) if wanted[b]]
        for size, value in zip(seen.lengths, seen.curves[c], strict=True):
            if asked:
                parts = [len(set(lists[name][b, :size].tolist()) & set(wanted[b])) / len(wanted[b]) for b in asked]
                assert value == pytest.approx(np.mean(parts))
            else:
                assert value is None
    assert seen.lengths[-1] == length
    if truth:
        assert seen.together == pytest.approx(len(set().union(*brought.values()) & truth) / len(truth))


def test_a_channel_that_brings_nothing() -> None:
    lists = {"one": np.array([[3, 4]]), "none": np.full((1, 2), -1)}
    seen = measure_recall(lists, [2, 2], question_of([[4, 9]]))
    one, none = seen.rows
    assert (one.found, one.unique, none.found, none.unique, seen.together) == (0.5, 0.5, 0.0, 0.0, 0.5)
    assert seen.overlap == [[1.0, 0.0], [None, None]]
    assert seen.curves == [[0.0, 0.5], [0.0, 0.0]]
