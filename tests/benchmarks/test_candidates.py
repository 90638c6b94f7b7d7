"""The candidates that the benchmarks draw, and the judgement of numbers about them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headrace.benchmarks.candidates import again, drawn, ragged, within
from headrace.benchmarks.harness.case import Near, Wrong
from headrace.kernels.work import Work


@pytest.mark.parametrize(("batch", "each"), [(1, 7), (2, 1), (3, 100), (64, 1300), (97, 33)])
def test_lists_are_ragged_and_have_as_many_entries_as_promised(batch: int, each: int) -> None:
    counts = ragged(batch, each).diff()
    assert len(counts) == batch
    assert int(counts.sum()) == batch * each
    assert 0.8 * each - 1 <= int(counts.min()) <= int(counts.max()) <= 1.2 * each + 1


def test_a_list_has_an_item_once_and_what_comes_again_is_known() -> None:
    offsets = ragged(64, 1300)
    item = drawn(offsets, 20_000)
    assert all(len(own.unique()) == len(own) for own in item.split(offsets.diff().tolist()))
    work = again(Work(0.0, 64 * 1300 * 100.0), 64, 1300, 20_000, 100)
    assert work.touched == pytest.approx(100 * len(torch.unique(item)), rel=0.02)


def test_numbers_are_right_near_or_wrong() -> None:
    truth, slack = np.zeros(100), np.full(100, 1e-6)
    answer = np.zeros(100, np.float32)
    assert within(answer, truth, slack) == "within float32 rounding"
    answer[0] = 2e-6
    assert isinstance(within(answer, truth, slack), Near)
    for damage in (1e-3, np.nan):
        answer[0] = damage
        with pytest.raises(Wrong):
            within(answer, truth, slack)
