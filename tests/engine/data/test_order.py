"""Logs whose times say nothing are told from those whose times do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.data import InteractionLog, generate
from headrace.data.order import in_some_order

REAL = generate(200, 300, 6000, seed=1).dataset.log


def with_times(log: InteractionLog, order: np.ndarray, time: np.ndarray) -> InteractionLog:
    return replace(log.take(order), time=time)


def by_item(log: InteractionLog, falling: bool = False) -> InteractionLog:
    item = -log.item if falling else log.item
    return with_times(log, np.argsort(item, kind="stable"), log.time[0] + 1000 * np.arange(len(log)))


def test_a_log_as_it_happened_stays_as_it_is() -> None:
    assert in_some_order(REAL, 0) == (REAL, None)


@pytest.mark.parametrize("falling", [False, True])
def test_a_log_sorted_by_item_is_told_and_drawn(falling: bool) -> None:
    log = by_item(REAL, falling)
    drawn, words = in_some_order(log, 3)
    assert words is not None
    assert "100 % of users' events follow each other by item" in words
    assert (np.diff(drawn.time) >= 0).all()
    assert drawn.time[-1] == log.time[-1]
    assert sorted(zip(drawn.user, drawn.item, drawn.signals["click"], strict=True)) == sorted(
        zip(log.user, log.item, log.signals["click"], strict=True)
    )
    assert abs(np.corrcoef(np.arange(len(log)), drawn.item)[0, 1]) < 0.1
    assert np.array_equal(in_some_order(log, 3)[0].item, drawn.item)
    assert not np.array_equal(in_some_order(log, 4)[0].item, drawn.item)


@pytest.mark.parametrize(("times", "words"), [(1, "all 6000 rows have the same"), (3, "6000 rows have 3 times in all")])
def test_one_time_for_all_and_few_times_are_told_and_drawn(times: int, words: str) -> None:
    time = np.sort(REAL.time[0] + 86_400_000 * (np.arange(6000) % times))
    drawn, said = in_some_order(replace(REAL, time=time), 0)
    assert said == f"log: time: {words}; the events are taken in a drawn order"
    assert len(np.unique(drawn.time)) == 6000
    assert drawn.time[-1] == time[-1]
    assert (time == np.sort(time)).all()  # the caller's own stay


def test_shuffled_times_are_said() -> None:
    order = np.random.default_rng(5).permutation(len(REAL))
    log = with_times(REAL, order, REAL.time)
    same, words = in_some_order(log, 0)
    assert same is log
    assert words is not None
    assert "a log with shuffled times looks like this" in words


def test_what_looks_alike_and_is_not_is_left_alone() -> None:
    few = REAL.take(slice(0, 40))
    assert in_some_order(few, 0)[1] is None
    # new items all the time: rows are named by their first appearance, and no item comes twice
    fresh = replace(REAL, item=np.arange(len(REAL), dtype=np.int32))
    assert in_some_order(fresh, 0)[1] is None
    daily = replace(REAL, time=REAL.time // 86_400_000 * 86_400_000, user=(REAL.user % 3).astype(np.int32))
    assert "drawn order" in str(in_some_order(daily, 0)[1])  # 14 times for 6000 rows
    assert in_some_order(REAL.take(slice(0, 0)), 0)[1] is None
