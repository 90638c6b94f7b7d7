"""The jagged batch and its arithmetic against plain Python."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headrace.jagged import gather_rows, offsets_of, segment_of, top_per_segment
from headrace.types import Candidates

lists = st.lists(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 50)), max_size=7), max_size=6)


def jagged(rows: list[list[tuple[int, int]]]) -> Candidates:
    flat = [entry for row in rows for entry in row]
    item = torch.tensor([item for _, item in flat], dtype=torch.int64)
    score = torch.tensor([float(score) for score, _ in flat])
    return Candidates(offsets_of(torch.tensor([len(r) for r in rows], dtype=torch.int64)), item, score, item * 2)


@given(lists, st.integers(1, 5))
def test_top_per_segment(rows: list[list[tuple[int, int]]], k: int) -> None:
    batch = jagged(rows)
    index, offsets = top_per_segment(batch.offsets, batch.score, batch.item, k)
    top = batch.take(index, offsets)
    expected = [sorted(row, key=lambda entry: (-entry[0], entry[1]))[:k] for row in rows]
    assert top.counts.tolist() == [len(row) for row in expected]
    assert list(zip(top.score.tolist(), top.item.tolist(), strict=True)) == [e for row in expected for e in row]


@given(lists)
def test_keep(rows: list[list[tuple[int, int]]]) -> None:
    batch = jagged(rows)
    kept = batch.keep(batch.item % 2 == 0)
    expected = [[entry for entry in row if entry[1] % 2 == 0] for row in rows]
    assert kept.counts.tolist() == [len(row) for row in expected]
    assert kept.item.tolist() == [item for row in expected for _, item in row]
    assert kept.request.tolist() == [i for i, row in enumerate(expected) for _ in row]


@pytest.mark.parametrize("limit", [None, 0, 1, 2, 9])
def test_gather_rows(limit: int | None) -> None:
    offsets = torch.tensor([0, 3, 3, 5])
    index, out = gather_rows(offsets, torch.tensor([2, -1, 0, 1, 2]), limit)
    cap = 99 if limit is None else limit
    assert index.tolist() == [*[3, 4][:cap], *[0, 1, 2][:cap], *[3, 4][:cap]]
    assert out.diff().tolist() == [min(2, cap), 0, min(3, cap), 0, min(2, cap)]


def test_gather_rows_of_an_empty_table() -> None:
    index, out = gather_rows(torch.zeros(1, dtype=torch.int64), torch.tensor([-1, -1]))
    assert index.tolist() == []
    assert out.tolist() == [0, 0, 0]


def test_empty_batches() -> None:
    assert Candidates.empty(0).batch == 0
    assert Candidates.empty(3).counts.tolist() == [0, 0, 0]
    assert segment_of(torch.zeros(1, dtype=torch.int64)).tolist() == []


def test_columns_follow_their_entries() -> None:
    batch = jagged([[(1, 5), (2, 6)]]).with_score(torch.tensor([0.5, 0.7]), p_click=torch.tensor([0.1, 0.2]))
    assert batch.keep(torch.tensor([False, True])).columns["p_click"].tolist() == pytest.approx([0.2])
