"""Stages that are skipped: what is left, what says so, and what is not built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from headrace.build import build
from headrace.channels.evidence import RANK
from headrace.data import Dataset, read
from headrace.ranking import Blend
from headrace.serving import Engine
from headrace.settings import Settings
from headrace.types import FILL


def asked(snapshot: Path, data: Dataset, **stages: Any) -> tuple[Engine, Any]:
    engine = Engine.load(snapshot, overlay={"stages": stages})
    rows = engine.users.rows(data.users.ids.ids[:6])
    return engine, engine.funnel.run(engine.requests(rows), 10)


def names(trace: Any) -> list[str]:
    return [time.stage for time in trace.times]


def test_without_pre_ranking_all_that_recall_left_is_ranked(snapshot: Path, small_log: Dataset) -> None:
    engine, trace = asked(snapshot, small_log, preranking=False)
    assert trace.ranked.counts.tolist() == trace.filled.counts.tolist()
    assert trace.skipped == {"pre_ranked"}
    assert "pre-ranking" not in trace.after_merge
    assert "pre-ranking" not in names(trace)
    page = engine.recommend([int(small_log.users.ids.ids[0])], 5, reasons=True)[0]
    assert page.reasons is not None
    assert "pre-ranking" not in page.reasons["items after each stage"]


def test_without_ranking_the_scores_are_those_of_the_stage_before(snapshot: Path, small_log: Dataset) -> None:
    _, trace = asked(snapshot, small_log, ranking=False)
    assert torch.equal(trace.ranked.score, trace.pre_ranked.score)
    assert "p_click" in trace.page.columns
    _, bare = asked(snapshot, small_log, ranking=False, preranking=False, reranking=False)
    assert bare.skipped == {"pre_ranked", "ranked", "page"}
    assert "p_click" not in bare.page.columns
    for b in range(bare.page.batch):
        part = slice(*bare.filled.offsets[b : b + 2].tolist())
        best = torch.from_numpy(np.lexsort((bare.filled.item[part], -bare.filled.score[part]))[:10].copy())
        shown = bare.page.item[bare.page.offsets[b] : bare.page.offsets[b + 1]]
        assert shown.tolist() == bare.filled.item[part][best].tolist()


def test_without_re_ranking_the_page_is_the_best_scores_whatever_the_rules(snapshot: Path, small_log: Dataset) -> None:
    engine, trace = asked(snapshot, small_log, reranking=False)
    assert bool((trace.page.score.view(6, 10).diff(dim=1) <= 0).all())
    assert names(trace)[-1] == "ranking"
    assert not trace.page.columns["broken"].any()
    assert len(engine.recommend([int(small_log.users.ids.ids[0])])[0].items) == 20


def test_the_whole_catalogue_is_ranked_where_that_is_asked_for(snapshot: Path, small_log: Dataset) -> None:
    engine, trace = asked(snapshot, small_log, whole=True, preranking=False)
    requests = engine.requests(engine.users.rows(small_log.users.ids.ids[:6]))
    every = torch.arange(engine.funnel.items)
    offsets = torch.arange(7) * len(every)
    free = engine.funnel.bars.why(requests, torch.arange(6), offsets, every.repeat(6)) == 0
    assert trace.ranked.counts.tolist() == free.view(6, -1).sum(1).tolist()
    added = trace.ranked.channels == 1 << FILL
    assert bool(added.any())
    assert not trace.ranked.columns[RANK][added].any()
    assert bool((trace.ranked.columns[RANK][~added] > 0).any(1).all())


def test_a_stage_that_is_not_wanted_is_not_built(tmp_path: Path) -> None:
    data = read(tiny.write(tmp_path / "log", click=(np.arange(tiny.ROWS) % 3 == 0).astype(np.int8)))
    told = tiny.TINY.model_dump(mode="json") | {"stages": {"preranking": False}}
    built = build(data, Settings.model_validate(told), tmp_path / "snapshot")
    assert {fit.label.removesuffix("_last_rows") for fit in built.fits} == {"ranker"}
    assert len(Engine.load(tmp_path / "snapshot").recommend([7])[0].items) == 10
    with pytest.raises(ValueError, match=r"stages\.preranking: expected a snapshot that was built with it"):
        Engine.load(tmp_path / "snapshot", overlay={"stages": {"preranking": True}})
    told |= {"stages": {"preranking": False, "ranking": False}}
    bare = build(data, Settings.model_validate(told), tmp_path / "bare")
    assert bare.fits == []
    engine = Engine.load(tmp_path / "bare")
    assert len(engine.recommend([7, 12345])[1].items) == 10
    with pytest.raises(ValueError, match=r"stages\.ranking: expected a snapshot that was built with it"):
        Engine.load(tmp_path / "bare", overlay={"stages": {"ranking": True}})


def test_a_blend_scores_where_it_is_to_be_used(snapshot: Path, small_log: Dataset) -> None:
    engine = Engine.load(snapshot)
    funnel = engine.funnel
    requests = engine.requests(engine.users.rows(small_log.users.ids.ids[:4]))
    plain = funnel.run(requests, 10)
    assert funnel.ranker is not None
    channels = [channel.name for channel in funnel.channels]
    funnel.ranker.heads.blend = Blend({"p_click": 0.0}, {"popular": (0.0, 0.0, -1.0, 0.0)}).of(channels)
    found = 1 << channels.index("popular")
    blended = funnel.run(requests, 10).ranked
    popular = blended.channels & found > 0
    rank = blended.columns[RANK][:, channels.index("popular")]
    assert torch.allclose(blended.score[popular], 1 / rank[popular].float())
    assert bool((blended.score[~popular] == 1).all())
    assert blended.item.tolist() == plain.ranked.item.tolist()
