"""The whole funnel from ids to pages: what users see, and what bad input gets."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import headrace
from headrace.build import build
from headrace.channels.popular import Popular
from headrace.cli import app
from headrace.data import Dataset, generate
from headrace.serving import Engine
from headrace.settings import Settings, load_settings


def some_users(data: Dataset, count: int) -> list[int]:
    return [int(u) for u in data.users.ids.external(np.unique(data.log.user)[:count])]


def test_the_package_offers_the_engine() -> None:
    assert headrace.Engine is Engine


def test_pages_hold_known_distinct_items_with_scores_and_channels(engine: Engine, small_log: Dataset) -> None:
    pages = engine.recommend(some_users(small_log, 7), k=20)
    assert len(pages) == 7
    for page in pages:
        assert len(page.items) == len(set(page.items)) == len(page.scores) == len(page.channels) == 20
        assert (small_log.catalogue.ids.rows(page.items) >= 0).all()
        assert all(page.channels)
        assert np.isfinite(page.scores).all()
        assert page.reasons is None


def test_a_batch_equals_its_requests_one_by_one(engine: Engine, small_log: Dataset) -> None:
    users = some_users(small_log, 9)
    together = engine.recommend(users, k=15)
    alone = [engine.recommend([user], k=15)[0] for user in users]
    assert [page.items for page in together] == [page.items for page in alone]
    # Sigmoids and powers may round otherwise elsewhere in a batch: at most 16 units in the last place over a formula.
    scores = ([score for page in pages for score in page.scores] for pages in (together, alone))
    np.testing.assert_allclose(*scores, rtol=2**-19)


def test_seen_items_are_never_shown(engine: Engine, small_log: Dataset) -> None:
    users = some_users(small_log, 20)
    before = small_log.log.time < engine.as_of
    for user, page in zip(users, engine.recommend(users), strict=True):
        row = small_log.users.ids.rows([user])[0]
        seen = small_log.log.item[before & (small_log.log.user == row)]
        assert not set(small_log.catalogue.ids.rows(page.items)) & set(seen.tolist())


def test_recorded_pages_are_not_shown_again(engine: Engine, small_log: Dataset) -> None:
    user = some_users(small_log, 1)
    first = engine.recommend(user, k=10, record=True)[0]
    second = engine.recommend(user, k=10)[0]
    assert not set(first.items) & set(second.items)


def test_unknown_users_get_a_page_and_are_counted(engine: Engine) -> None:
    page = engine.recommend([-5])[0]
    assert len(page.items) == 20
    assert not page.known
    assert engine.counters["unknown users"] == 1
    assert engine.counters["requests"] == 1


def test_zero_users_get_zero_pages(engine: Engine) -> None:
    assert engine.recommend([]) == []


def test_more_items_than_there_are(engine: Engine, small_log: Dataset) -> None:
    page = engine.recommend(some_users(small_log, 1), k=10_000)[0]
    assert len(page.items) == len(set(page.items)) == 200
    assert engine.counters["short pages"] == 1


def test_all_items_seen_gives_an_empty_page(engine: Engine, small_log: Dataset) -> None:
    user = some_users(small_log, 1)
    row = torch.from_numpy(small_log.users.ids.rows(user)).repeat(len(small_log.catalogue))
    engine.funnel.exposure.record(row, torch.arange(len(small_log.catalogue)))
    assert engine.recommend(user)[0].items == []


def test_reasons_name_every_stage(engine: Engine, small_log: Dataset) -> None:
    user = some_users(small_log, 1)
    page = engine.recommend(user, k=5, reasons=True)[0]
    assert page.reasons is not None
    assert list(page.reasons["items after each stage"]) == ["merge", "fill", "pre-ranking", "ranking", "re-ranking"]
    removed = page.reasons["removed by the exposure filter"]
    rows = torch.from_numpy(small_log.catalogue.ids.rows(removed))
    who = torch.from_numpy(small_log.users.ids.rows(user)).expand(len(rows))
    assert len(removed) == len(set(removed)) > 0
    assert bool(engine.funnel.exposure.seen(who, rows).all())
    assert not set(removed) & set(page.items)
    assert len(page.reasons["stage scores"]["p_click"]) == 5
    json.dumps(dataclasses.asdict(page))


def test_a_channel_may_be_called_as_a_stage_is(engine: Engine, small_log: Dataset) -> None:
    class Merge(Popular):
        name = "merge"

    popular = next(channel for channel in engine.funnel.channels if isinstance(channel, Popular))
    before = engine.recommend(some_users(small_log, 20), 10, reasons=True)
    channels = [Merge(popular.item, popular.score) if c is popular else c for c in engine.funnel.channels]
    again = Engine(
        dataclasses.replace(engine.funnel, channels=channels), engine.users, engine.items, engine.as_of, engine.settings
    )
    after = again.recommend(some_users(small_log, 20), 10, reasons=True)
    assert [page.items for page in after] == [page.items for page in before]
    assert [page.reasons for page in after] == [page.reasons for page in before]
    trace = again.funnel.run(again.requests(np.arange(20)), 10)
    assert set(trace.recalled["merge"].item.tolist()) <= set(popular.item.tolist())
    assert len(trace.merged) > len(trace.recalled["merge"])
    assert [time.stage for time in trace.times].count("merge") == 2


def test_bad_requests_name_the_argument(engine: Engine, small_log: Dataset) -> None:
    with pytest.raises(ValueError, match="k: expected at least 1, got 0"):
        engine.recommend(some_users(small_log, 1), k=0)
    with pytest.raises(TypeError, match="ids: expected integer ids"):
        engine.recommend(["nobody"])
    with pytest.raises(ValueError, match=r"context\['hour'\]: expected 2 values"):
        engine.recommend(some_users(small_log, 2), context={"hour": [1]})


def test_two_threads_get_what_one_gets(engine: Engine, small_log: Dataset) -> None:
    users = some_users(small_log, 16)
    alone = [page.items for page in engine.recommend(users)]
    found: list[list[list[int | str]]] = []

    def ask() -> None:
        for _ in range(3):
            found.append([page.items for page in engine.recommend(users)])

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert all(pages == alone for pages in found)


@pytest.mark.parametrize(("users", "items", "events"), [(1, 30, 200), (30, 1, 200)])
def test_the_smallest_logs_build(tmp_path: Path, small_settings: Settings, users: int, items: int, events: int) -> None:
    data = generate(users, items, events, seed=3).dataset
    build(data, small_settings, tmp_path)
    page = Engine.load(tmp_path).recommend(some_users(data, 1))[0]
    assert len(page.items) <= items


def test_a_log_that_teaches_nothing_is_refused(tmp_path: Path, small_settings: Settings) -> None:
    with pytest.raises(ValueError, match="log: expected a 1 in some row of click, like"):
        build(generate(1, 1, 1, seed=3).dataset, small_settings, tmp_path)


def test_features_that_are_not_numbers_are_refused(
    tmp_path: Path, small_settings: Settings, small_log: Dataset
) -> None:
    assert small_log.catalogue.vector is not None
    vector = small_log.catalogue.vector.copy()
    vector[7, 3] = np.nan
    data = dataclasses.replace(small_log, catalogue=dataclasses.replace(small_log.catalogue, vector=vector))
    with pytest.raises(ValueError, match=r"vector.*(finite|NaN)"):
        build(data, small_settings, tmp_path)


def test_an_empty_log_is_refused(tmp_path: Path, small_settings: Settings, small_log: Dataset) -> None:
    with pytest.raises(ValueError, match="log: expected at least 1 row"):
        build(small_log.with_log(small_log.log.take(slice(0, 0))), small_settings, tmp_path)


def test_same_seed_same_pages(tmp_path: Path, small_settings: Settings, small_log: Dataset) -> None:
    users = some_users(small_log, 5)
    first, second = (build(small_log, small_settings, tmp_path / name).engine for name in ("a", "b"))
    assert [p.items for p in first.recommend(users)] == [p.items for p in second.recommend(users)]


def test_recommend_prints_json_lines(snapshot: Path, small_log: Dataset) -> None:
    users = some_users(small_log, 2)
    words = ",".join(map(str, [*users, 999]))
    run = CliRunner().invoke(app, ["recommend", "--snapshot", str(snapshot), "--users", words, "-k", "3"])
    assert run.exit_code == 0, run.output
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert [row["user"] for row in rows] == [*users, 999]
    assert [row["known"] for row in rows] == [True, True, False]
    assert all(len(row["items"]) == 3 for row in rows)


def test_errors_are_one_line(tmp_path: Path) -> None:
    run = CliRunner().invoke(app, ["recommend", "--snapshot", str(tmp_path / "none"), "--users", "1"])
    assert run.exit_code == 2
    assert "CURRENT: missing" in run.output
    run = CliRunner().invoke(app, ["build", "--log", str(tmp_path), "--out", str(tmp_path / "s")])
    assert run.exit_code == 2
    assert "error:" in run.output


def test_settings_files_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[page]\nshown = 10\n")
    assert load_settings(path).page.shown == 10
    path.write_text("[page]\nshow = 10\n")
    with pytest.raises(ValueError, match="page: expected one of ranked, shown, got 'show'"):
        load_settings(path)
    path.write_text("[page\n")
    with pytest.raises(ValueError, match="not TOML"):
        load_settings(path)
    assert Settings() == load_settings(_empty(tmp_path))


def _empty(folder: Path) -> Path:
    path = folder / "empty.toml"
    path.write_text("")
    return path
