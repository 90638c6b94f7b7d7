"""The rehearsal: what it asks, that nothing of the outcome is known to what it judges, and what it decides."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from headrace.build import build
from headrace.channels.evidence import RANK, SCORE
from headrace.data import Dataset, InteractionLog, generate
from headrace.jagged import offsets_of
from headrace.ranking import BlendSettings
from headrace.ranking.blend import FUSED
from headrace.rehearsal import BLEND, DEPTH, POWERS, _Judge, _lost, _ndcg, question_of
from headrace.serving import Engine
from headrace.settings import Settings
from headrace.training.build import Build
from headrace.training.split import split_of
from headrace.types import Candidates

QUOTAS = {"two_tower": 0, "itemcf": 60, "author_latest": 0, "popular_in_category": 0, "popular": 60}
SETTINGS = Settings.model_validate(
    {
        "channels": {name: {"quota": quota} for name, quota in QUOTAS.items()},
        "merge": {"total": 100},
        "page": {"ranked": 60, "shown": 10},
        "blend": {"least": 20},
        "preranker": {"network": {"embedding_dim": 2}, "train": {"epochs": 1}},
        "ranker": {"network": {"embedding_dim": 2}, "train": {"epochs": 1}},
    }
)


def log_of(*rows: tuple[int, int, int]) -> InteractionLog:
    """(user, item, click), a minute each."""
    user, item, click = (np.array(column) for column in zip(*rows, strict=True))
    time = 10**12 + 60_000 * np.arange(len(rows))
    return InteractionLog(
        user.astype(np.int32), item.astype(np.int32), time, {"click": click.astype(np.int8)},
        context={"tab": np.arange(len(rows), dtype=np.int32)},
    )  # fmt: skip


def test_it_asks_for_what_was_chosen_and_new() -> None:
    whole = log_of((0, 1, 1), (1, 2, 0), (2, 3, 1), (0, 1, 1), (1, 2, 1), (1, 4, 1), (2, 5, 0), (1, 4, 1), (0, 6, 1))
    question = question_of(whole.take(slice(0, 3)), whole.take(slice(3, None)), 7, 10, 0)
    # User 0 knew item 1; user 1 knew item 2, and chose item 4 twice; user 2 chose nothing.
    assert question.requests.user.tolist() == [0, 1]
    assert question.offsets.tolist() == [0, 1, 2]
    assert question.item.tolist() == [6, 4]
    assert question.requests.time.tolist() == [int(whole.time[3])] * 2
    assert question.requests.context["tab"].tolist() == [3, 4]
    few = question_of(whole.take(slice(0, 3)), whole.take(slice(3, None)), 7, 1, 0)
    assert len(few.requests) == len(few.item) == 1


def test_quality_is_the_mean_ndcg_of_the_first() -> None:
    rng = np.random.default_rng(0)
    counts = [0, 3, 120, 60]
    n = sum(counts)
    score = torch.from_numpy(rng.integers(0, 9, n).astype(np.float32))
    chosen = torch.from_numpy(rng.random(n) < 0.2)
    item = torch.from_numpy(np.concatenate([rng.permutation(200)[:c] for c in counts]).astype(np.int64))
    wanted = torch.tensor([2, 1, 40, 60])
    candidates = Candidates(offsets_of(torch.tensor(counts)), item, score, torch.zeros_like(item))
    expected = []
    for b, count in enumerate(counts):
        first = int(candidates.offsets[b])
        order = sorted(range(first, first + count), key=lambda i: (-float(score[i]), int(item[i])))[:DEPTH]
        gain = sum(1 / math.log2(place + 2) for place, i in enumerate(order) if chosen[i])
        expected.append(gain / sum(1 / math.log2(place + 2) for place in range(min(int(wanted[b]), DEPTH))))
    assert _ndcg(candidates, score, chosen, wanted) == pytest.approx(np.mean(expected))


def test_the_merge_ranks_where_nothing_else_is_better() -> None:
    item = torch.arange(40).repeat(5)
    chosen = item < 3
    for recalled, ranked, expected in ((-item, item, {"merged": 1.0}), (item, -item, None)):
        columns = {FUSED: ranked.float(), RANK: torch.zeros(200, 0), SCORE: torch.zeros(200, 0)}
        candidates = Candidates(torch.arange(6) * 40, item, recalled.float(), torch.zeros_like(item), columns)
        judge = _Judge(chosen, torch.full((5,), 3), (), BlendSettings(least=1000), 0)
        verdict, score = judge.verdict(candidates)
        assert (None if verdict.blend is None else verdict.blend.predictions) == expected
        assert score.tolist() == (-item).tolist()
        assert verdict.quality["merge" if expected else "fusion"] == pytest.approx(1)


def test_what_pre_ranking_leaves_out() -> None:
    item = torch.arange(100)
    candidates = Candidates(torch.tensor([0, 100]), item, item.float(), torch.zeros_like(item))
    assert _lost(candidates, item.float(), item.float(), 60) == 0
    assert _lost(candidates, item.float(), -item.float(), 60) == pytest.approx(40 / 50)


def test_a_build_before_a_cut_knows_nothing_after_it(small_log: Dataset) -> None:
    job = Build(small_log)
    cut = int(small_log.log.time[4000])
    past = job.before(cut, ", rehearsal")
    assert len(past.dataset.log) == np.searchsorted(small_log.log.time, cut)
    assert int(past.dataset.log.time[-1]) < cut
    assert past.store is job.store
    assert past.fits is job.fits


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return generate(users=200, items=300, events=8_000, seed=3).dataset


def test_a_build_rehearses_its_last_days(dataset: Dataset, tmp_path: Path) -> None:
    built = build(dataset, SETTINGS, tmp_path / "snapshot")
    rehearsal = built.rehearsal
    assert rehearsal is not None
    split = split_of(dataset.log.time)
    assert split is not None
    assert rehearsal.cut == int(dataset.log.time[split.held][0])
    assert rehearsal.chosen >= 20
    assert rehearsal.verdicts.keys() == {"preranker", "ranker"}
    plain = {power: rehearsal.verdicts["ranker"].quality[f"fusion, exposure_power {power:g}"] for power in POWERS}
    assert plain[rehearsal.power] == max(plain.values())
    assert 0 <= (rehearsal.lost or 0) <= 1
    engine = Engine.load(tmp_path / "snapshot")
    assert engine.settings.fusion.exposure_power == rehearsal.power
    for part, verdict in rehearsal.verdicts.items():
        assert verdict.quality["fusion"] >= 0
        better = max(verdict.quality.get(BLEND, -1), verdict.quality["merge"]) > verdict.quality["fusion"]
        assert (verdict.blend is not None) == better
        kept = getattr(engine.funnel, part).heads.blend
        assert (kept is not None) == better
        if kept is not None:
            assert {name: kept.weights[name] for name in verdict.blend.weights} == pytest.approx(verdict.blend.weights)
    pages = engine.recommend([int(user) for user in dataset.users.ids.ids[:3]])
    assert pages == built.engine.recommend([int(user) for user in dataset.users.ids.ids[:3]])
    off = Engine.load(tmp_path / "snapshot", overlay={"blend": {"use": False}})
    assert off.funnel.ranker is not None
    assert off.funnel.ranker.heads.blend is None


def test_too_little_to_learn_from_is_no_rehearsal(dataset: Dataset, tmp_path: Path) -> None:
    told = SETTINGS.model_dump(mode="json") | {"blend": {"least": 100_000}}
    built = build(dataset, Settings.model_validate(told), tmp_path / "snapshot")
    assert built.rehearsal is None
    engine = Engine.load(tmp_path / "snapshot")
    assert engine.funnel.ranker is not None
    assert engine.funnel.ranker.heads.blend is None
    assert engine.settings.fusion.exposure_power is None
    assert torch.isfinite(engine.funnel.run(engine.requests(np.array([0, -1])), 5).page.score).all()
