"""The held-out question, and the measurements of an engine on it."""

from __future__ import annotations

import numpy as np
import torch

from headrace.data import Dataset, InteractionLog, split_by_time
from headrace.demo import split_last_days
from headrace.evaluation.exposures import measure_exposure
from headrace.evaluation.held_out import best, held_out, in_order
from headrace.evaluation.offline import measure_diversity, measure_quality, run_held_out
from headrace.evaluation.targets import measure_targets
from headrace.evaluation.timing import measure_funnel
from headrace.serving import Engine
from headrace.types import Candidates


def log_of(rows: list[tuple[int, int, int, int]]) -> InteractionLog:
    """(user, item, time, click) rows."""
    user, item, time, click = (np.array(column) for column in zip(*rows, strict=True))
    return InteractionLog(
        user.astype(np.int32), item.astype(np.int32), time.astype(np.int64), {"click": click.astype(np.int8)}
    )


def test_the_question_asks_for_new_clicks_only() -> None:
    train = log_of([(0, 1, 0, 1), (1, 2, 0, 0)])
    test = log_of([(0, 1, 10, 1), (0, 3, 11, 1), (0, 3, 12, 1), (1, 4, 13, 0), (2, 5, 14, 1)])
    question = held_out(train, test, 9, limit=100)
    assert question.requests.user.tolist() == [0, 2]
    assert question.requests.time.tolist() == [10, 10]
    assert question.offsets.tolist() == [0, 1, 2]
    assert question.items.tolist() == [3, 5]


def test_the_limit_draws_whole_users() -> None:
    rows = [(user, item, 10, 1) for user in range(30) for item in range(3)]
    question = held_out(log_of([(0, 8, 0, 0)]), log_of(rows), 9, limit=7, seed=1)
    assert len(question.requests) == 7
    assert question.offsets.diff().tolist() == [3] * 7


def test_lists_are_padded() -> None:
    found = Candidates(
        torch.tensor([0, 3, 3]), torch.tensor([5, 2, 9]), torch.tensor([1.0, 3.0, 3.0]), torch.zeros(3).long()
    )
    assert best(found, 2).tolist() == [[2, 9], [-1, -1]]
    assert in_order(found, 2).tolist() == [[5, 2], [-1, -1]]


def test_the_cut_leaves_a_tenth(small_log: Dataset) -> None:
    train, test, words = split_last_days(small_log.log)
    assert train.time[-1] < test.time[0]
    assert len(test) >= 0.1 * len(small_log.log)
    assert f"{len(test):,} of {len(small_log.log):,}" in words
    short = small_log.log.take(slice(0, 100))
    assert len(split_last_days(short)[1]) >= 10


def test_an_engine_is_measured(engine: Engine, small_log: Dataset) -> None:
    train, test = split_by_time(small_log.log, 2.0)
    items = len(small_log.catalogue)
    question = held_out(train, test, items, limit=50)
    served = run_held_out(engine.funnel, question, shown=10, k=10)
    quality = measure_quality(served, engine.funnel, question, "the last 2 days", k=10)
    rows = {row.name: row for row in quality.rows}
    assert {"itemcf", "two tower", "popularity", "random", "merge", "after ranking", "after re-ranking"} <= set(rows)
    assert all(row.recall is not None and 0 <= row.recall <= 1 for row in quality.rows)
    assert rows["random"].coverage > rows["popularity"].coverage
    targets = {target.name: target for target in measure_targets(engine.funnel.ranker, train, test, items)}
    assert targets["click"].rows == len(test)
    assert set(targets["click"].baselines) == {"item popularity", "user mean"}
    diversity = measure_diversity(served, engine.funnel, small_log.catalogue)
    assert diversity.pages > 0
    assert [row.name for row in diversity.rows] == ["top by score", "re-ranked"]
    assert diversity.rows[0].mean_reward >= diversity.rows[1].mean_reward
    exposure = measure_exposure(served, engine.funnel, train, question, items, probes=5000)
    assert exposure.seen_shown == 0
    assert exposure.false_negatives == 0
    timing = measure_funnel(engine.funnel, question, 10, batch_size=8, batches=3)
    assert timing.requests == 24
    assert [stage.name for stage in timing.stages][-1] == "re-ranking"
