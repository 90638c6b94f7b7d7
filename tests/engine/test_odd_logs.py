"""What logs hold decides before training whether they are built; whatever is built serves."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tiny
import torch
from tiny import ROWS, TINY
from typer.testing import CliRunner

import headrace.build as building
from headrace.build import build
from headrace.channels import CHANNELS
from headrace.cli import app
from headrace.cli.funnel import print_rows
from headrace.data import RowReport, read
from headrace.features.families.contexts import Contexts
from headrace.funnel import Funnel, Trace
from headrace.serving import Engine
from headrace.settings import Settings

SOME = (np.arange(ROWS) * 7 % 5 < 2).astype(np.int8)
ONES, ZEROS = np.ones(ROWS, np.int8), np.zeros(ROWS, np.int8)


def nulled(values: np.ndarray, null: np.ndarray) -> pa.Array:
    return pa.array(values, mask=null == 1)


@pytest.mark.parametrize(
    ("signals", "unlearnt"),
    [
        ({"click": ONES, "like": ONES}, {"target like": "log: like: expected two outcomes to learn from, got only 1"}),
        ({"click": SOME, "share": SOME}, {"target share": "got only 1 in 160 rows"}),
        # Likes without a click anywhere: the column of clicks says nothing, that of likes does.
        ({"click": ZEROS, "like": SOME}, {"target click": "got only 0 in 400 rows"}),
        ({"click": pa.nulls(ROWS, pa.int8()), "like": SOME}, {"target click": "got no row that records it"}),
        ({"like": SOME, "play_time_ms": ZEROS}, {"target play_time": "got only 0 in 400 rows"}),
    ],
)
def test_a_target_of_one_outcome_has_no_say(tmp_path: Path, signals: dict[str, Any], unlearnt: dict[str, str]) -> None:
    built = build(read(tiny.write(tmp_path / "log", **signals)), TINY, tmp_path / "snapshot")
    for name, why in unlearnt.items():
        assert why in built.unlearnt[name]
    learnt = built.engine.funnel.ranker.heads.targets
    assert ("fusion click_times_sum" in built.unlearnt) == (learnt == ("impression",))
    known, stranger = Engine.load(tmp_path / "snapshot").recommend([7, 12345])
    assert len(known.items) == len(stranger.items) == 10
    assert np.isfinite(known.scores + stranger.scores).all()


@pytest.mark.parametrize(
    ("signals", "targets"),
    [
        ({}, ("click",)),  # user, item and time alone
        ({"click": ONES}, ("click",)),
        ({"impression": ONES, "click": ONES}, ("click",)),
        ({"share": ONES}, ("share",)),
        ({"click": nulled(ONES, SOME)}, ("impression", "click")),
        ({"impression": SOME, "click": ONES}, ("impression", "click")),
        ({"rating": 1 + np.arange(ROWS) % 5}, ("impression", "click")),
    ],
)
def test_positives_alone_have_drawn_items_as_negatives(
    tmp_path: Path, signals: dict[str, Any], targets: tuple[str, ...]
) -> None:
    row = np.arange(ROWS)
    data = read(tiny.write(tmp_path / "log", item=row**2 // 4 % 90, **signals))
    built = build(data, TINY, tmp_path / "snapshot")
    assert built.unlearnt == {}
    assert built.engine.funnel.ranker.heads.targets == targets
    trace = built.engine.funnel.run(built.engine.requests(np.array([-1])), 10)
    if targets in (("click",), ("share",)):
        predicted = trace.page.columns[f"p_{targets[0]}"] * TINY.fusion.weights.get(f"p_{targets[0]}", 1.0)
        assert trace.page.score.tolist() == pytest.approx(predicted.tolist(), rel=1e-5)
    known, stranger = Engine.load(tmp_path / "snapshot").recommend([7, 12345])
    assert len(known.items) == len(stranger.items) == 10


def test_a_log_of_one_user_builds(tmp_path: Path) -> None:
    data = read(tiny.write(tmp_path / "log", user=np.zeros(ROWS, np.int64), click=SOME))
    build(data, TINY, tmp_path / "snapshot")
    assert len(Engine.load(tmp_path / "snapshot").recommend([12345])[0].items) == 10


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"time": np.full(ROWS, 10**12)},
            "log: time: all 400 rows have the same; the events are taken in a drawn order",
        ),
        ({"item": np.sort(np.arange(ROWS) * 7 % 90)}, "events follow each other by item"),
    ],
)
def test_a_log_whose_order_says_nothing_builds_and_says_so(
    tmp_path: Path, changed: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.data.order._STEPS", 200)
    data = read(tiny.write(tmp_path / "log", click=SOME, **changed))
    time = data.log.time.copy()
    built = build(data, TINY, tmp_path / "snapshot")
    (said,) = built.notes
    assert words in said
    assert np.array_equal(data.log.time, time)
    assert built.engine.as_of == int(time[-1]) + 1
    assert len(Engine.load(tmp_path / "snapshot").recommend([7])[0].items) == 10


@pytest.mark.parametrize(
    ("signals", "match"),
    [
        ({"click": ZEROS}, "got no 1 in click"),
        ({"click": ZEROS, "like": pa.nulls(ROWS, pa.int8())}, "got no 1 in click, no 1 in like"),
        ({"play_time_ms": 100 * np.arange(ROWS)}, "got no such column"),
        ({"impression": SOME, "completion": SOME}, "got no such column"),
    ],
)
def test_a_log_without_interest_is_refused(tmp_path: Path, signals: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=f"log: expected a 1 in some row of .*{match}"):
        build(read(tiny.write(tmp_path, **signals)), TINY, tmp_path / "snapshot")
    assert not (tmp_path / "snapshot").exists()


@pytest.mark.parametrize("settings", [{"unshown": 0.0}, {"unshown_most": 0}])
def test_nothing_left_to_learn_is_refused_before_training(tmp_path: Path, settings: dict[str, Any]) -> None:
    data = read(tiny.write(tmp_path, click=ONES))
    with pytest.raises(
        ValueError, match=r"preranker: expected a target that click_times_sum uses.*click.*only 1 in 400"
    ):
        build(data, TINY.model_copy(update=settings), tmp_path / "snapshot")
    assert not (tmp_path / "snapshot").exists()


def test_no_channel_is_refused_before_training(tmp_path: Path) -> None:
    data = read(tiny.write(tmp_path, click=SOME))
    for chosen, match in (
        ({}, "no quota above 0"),
        ({"author_latest": {"quota": 5}}, r"author_latest: catalogue\.author"),
    ):
        quotas = {name: {"quota": 0} for name in CHANNELS} | chosen
        settings = Settings.model_validate({"channels": quotas})
        with pytest.raises(ValueError, match=f"channels: expected at least one that can be built, got none .*{match}"):
            build(data, settings, tmp_path / "snapshot")
    assert not (tmp_path / "snapshot").exists()


@pytest.mark.parametrize("fault", ["raises", "nothing"])
def test_an_engine_that_cannot_answer_replaces_none(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = read(tiny.write(tmp_path, click=SOME))
    build(data, TINY, tmp_path / "snapshot")
    before = (tmp_path / "snapshot" / "CURRENT").read_text()

    run = Funnel.run

    def broken(self: Funnel, *asked: Any) -> Trace:
        if fault == "raises":
            raise RuntimeError("popular: broken")
        trace = run(self, *asked)
        return replace(trace, page=trace.page.keep(torch.zeros(len(trace.page), dtype=torch.bool)))

    monkeypatch.setattr(Funnel, "run", broken)
    expected = "popular: broken" if fault == "raises" else "expected items for an unknown user from popular, got none"
    with pytest.raises((RuntimeError, ValueError), match=re.escape(expected)):
        build(data, TINY, tmp_path / "snapshot")
    monkeypatch.undo()
    assert (tmp_path / "snapshot" / "CURRENT").read_text() == before
    assert len(Engine.load(tmp_path / "snapshot").recommend([12345])[0].items) == 10


def test_scores_that_are_not_numbers_are_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assemble = building.assemble

    def spoilt(*parts: Any) -> Any:
        funnel = assemble(*parts)
        for weight in funnel.ranker.network.parameters():
            weight.data.fill_(float("nan"))
        return funnel

    monkeypatch.setattr(building, "assemble", spoilt)
    with pytest.raises(ValueError, match="finite"):
        build(read(tiny.write(tmp_path, click=SOME)), TINY, tmp_path / "snapshot")
    assert not (tmp_path / "snapshot" / "CURRENT").exists()


@pytest.mark.parametrize(("factor", "unit"), [(0.001, "seconds"), (1000, "microseconds")])
def test_a_dataset_with_times_of_another_unit_is_refused(tmp_path: Path, factor: float, unit: str) -> None:
    data = read(tiny.write(tmp_path, click=SOME))
    other = replace(data.log, time=(data.log.time * factor).astype(np.int64))
    with pytest.raises(ValueError, match=rf"log\.time: expected milliseconds since the epoch.*like {unit}"):
        build(data.with_log(other), TINY, tmp_path / "snapshot")


def test_one_absurd_time_leaves_the_snapshot_as_it_was(tmp_path: Path) -> None:
    time = tiny.columns()["time"]
    clean = build(read(tiny.write(tmp_path / "a", click=SOME)), TINY, tmp_path / "clean").engine
    more = {name: np.append(column, column[-1]) for name, column in tiny.columns(click=SOME).items()}
    dirty = read(tiny.write(tmp_path / "b", **more | {"time": np.append(time, 4_070_908_800_000)}))
    assert dirty.rows.dropped == {"time_in_future": 1}
    engine = build(dirty, TINY, tmp_path / "dirty").engine
    assert engine.as_of == clean.as_of
    assert [p.items for p in engine.recommend([3, 12345])] == [p.items for p in clean.recommend([3, 12345])]


@pytest.mark.parametrize("kind", [pa.int32(), pa.uint64()])
def test_a_context_code_too_large_is_refused_before_anything_is_made_of_it(tmp_path: Path, kind: pa.DataType) -> None:
    codes = np.arange(ROWS) % 3
    codes[7] = 2**31 - 2
    data = read(tiny.write(tmp_path, click=SOME, context_tab=pa.array(codes, kind)))
    with pytest.raises(
        ValueError, match=r"log: context_tab: expected codes below 100000 \(features.context_codes\), got 2147"
    ):
        build(data, TINY, tmp_path / "snapshot")
    assert not (tmp_path / "snapshot" / "CURRENT").exists()


def test_any_id_can_be_asked_for_on_the_command_line(tmp_path: Path) -> None:
    words = ["a,b", " a", "", "-", "1_000", "plain"]
    data = read(tiny.write(tmp_path, click=SOME, user=[words[row % 6] for row in range(ROWS)]))
    build(data, TINY, tmp_path / "snapshot")
    command = ["recommend", "--snapshot", str(tmp_path / "snapshot"), "-k", "3"]
    run = CliRunner().invoke(app, [*command, *(part for word in words for part in ("--user", word))])
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert [(row["user"], row["known"]) for row in rows] == [(word, True) for word in words]
    run = CliRunner().invoke(app, [*command, "--users", "plain,nobody", "--user", "-"])
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert [(row["user"], row["known"]) for row in rows] == [("-", True), ("plain", True), ("nobody", False)]
    run = CliRunner().invoke(app, command)
    assert (run.exit_code, "users: expected --users, --user or --all-users, got none" in run.output) == (2, True)


def test_what_reading_did_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows("log", RowReport(1000, 990, {"time_in_future": 10}, "seconds", 7))
    said = "log: read 1,000 rows, times in seconds, kept 990, 7 out of order, dropped 10 (time_in_future)"
    assert capsys.readouterr().err.strip() == said
    print_rows("log", RowReport(1000, 1000))
    assert capsys.readouterr().err.strip() == "log: read 1,000 rows, kept 1,000"


@pytest.mark.parametrize("name", ["a/b", "a.b", "", "hour", "weekday"])
def test_a_context_of_any_name_is_served_by_its_words(tmp_path: Path, name: str) -> None:
    words = [("x", "y")[one] for one in SOME]
    data = read(tiny.write(tmp_path, click=SOME, **{f"context_{name}": words}))
    build(data, TINY, tmp_path / "snapshot")
    engine = Engine.load(tmp_path / "snapshot")
    contexts = engine.funnel.ranker.store.family(Contexts)
    assert contexts is not None
    assert contexts.utc_offset_ms == 0
    assert len(engine.recommend([1], context={name: ["y"]})[0].items) == 10
    assert engine.counters["unknown context words"] == 0
