"""`headrace split` and `headrace evaluate`: what they write, print and refuse."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tiny import write
from typer.testing import CliRunner

from headrace.cli import app
from headrace.data import Catalogue, Dataset, IdMap, Users, read_parquet, split_by_time, write_parquet
from headrace.data.holdout import WAYS, Split
from headrace.evaluation.evaluate import without_filter
from headrace.evaluation.held_out import held_out, known_pairs
from headrace.evaluation.retrieval import METRICS
from headrace.evaluation.rows import read_rows
from headrace.evaluation.run import Asked
from headrace.evaluation.run import run as evaluate_logs
from headrace.recall import alone
from headrace.serving import Engine


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def parts(small_log: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training and the test part that the engine of these tests was built for."""
    folder = tmp_path_factory.mktemp("parts")
    train, test = split_by_time(small_log.log, 2.0)
    write_parquet(small_log.with_log(train), folder / "train")
    write_parquet(small_log.with_log(test), folder / "test")
    return folder


def judged(snapshot: Path, tmp_path: Path, *words: object) -> tuple[str, dict]:
    code, text = run("evaluate", "--snapshot", snapshot, *words, "--json", tmp_path / "out.json")
    assert code == 0, text
    return text, json.loads((tmp_path / "out.json").read_text())


def test_an_engine_is_judged(snapshot: Path, parts: Path, tmp_path: Path, small_log: Dataset) -> None:
    words = ("--log", parts / "train", "--test", parts / "test", "-k", "5,20")
    text, found = judged(snapshot, tmp_path, *words)
    rows = {row["name"]: row for row in found["rows"]}
    assert {"itemcf", "two tower", "popularity", "merge", "after pre-ranking", "after ranking"} < set(rows)
    assert {"after re-ranking", "popularity, all time", "random"} < set(rows)
    for row in rows.values():
        assert set(row["at"]) == {"5", "20"}
        assert set(row["at"]["20"]) == {*METRICS, "coverage"}
        recall = row["at"]["20"]["recall"]
        assert recall["low"] <= recall["mean"] <= recall["high"]
    # The mask is exact, so a list may only miss what its channel did not find: popularity by a plain count.
    train, test = split_by_time(small_log.log, 2.0)
    items, clicks = len(small_log.catalogue), train.signals["click"] == 1
    order = np.argsort(-np.bincount(train.item[clicks], minlength=items), kind="stable")
    seen = {user: set(train.item[train.user == user].tolist()) for user in range(len(small_log.users))}
    recalls = []
    for user in np.unique(test.user).tolist():
        rows_of = (test.user == user) & (test.interest() > 0)
        wanted = set(test.item[rows_of].tolist()) - seen[user]
        if wanted:
            page = [item for item in order.tolist() if item not in seen[user]][:20]
            recalls.append(len(wanted & set(page)) / len(wanted))
    assert found["requests"] == len(recalls)
    assert rows["popularity, all time"]["at"]["20"]["recall"]["mean"] == pytest.approx(np.mean(recalls))
    assert {one["metric"] for one in found["against"]} == {"recall", "ndcg"}
    assert found["at_ms"] == int(train.time[-1]) + 1
    assert found["targets"][0]["name"] == "click"
    assert "recall@5 of the page less that of the best single channel" in text


def test_requests_move_in_time_and_users_are_drawn(snapshot: Path, parts: Path, tmp_path: Path) -> None:
    words = ("--log", parts / "train", "--test", parts / "test", "-k", 5)
    _, found = judged(snapshot, tmp_path, *words, "--at", "+7", "--users", 5, "--positive", "like")
    _, again = judged(snapshot, tmp_path, *words, "--at", "+7", "--users", 5, "--positive", "like")
    assert found == again
    assert found["at_ms"] == Engine.load(snapshot).as_of + 7 * 86_400_000
    assert (found["requests"], found["positive"]) == (5, "like")


def test_without_the_training_log_it_says_what_is_not_exact(snapshot: Path, parts: Path, tmp_path: Path) -> None:
    _, found = judged(snapshot, tmp_path, "--test", parts / "test" / "log.parquet", "-k", "5,1000")
    assert any("exposure filter, which is not exact" in note for note in found["notes"])
    assert any("1,000 were asked for of a catalogue of 400 items" in note for note in found["notes"])
    assert "popularity, all time" not in {row["name"] for row in found["rows"]}
    assert found["targets"] == []
    assert found["rows"][0]["at"]["1000"]["recall"]["mean"] <= 1


def test_strangers_are_counted_and_left_out(snapshot: Path, parts: Path, tmp_path: Path, small_log: Dataset) -> None:
    table = pq.read_table(parts / "test" / "log.parquet")
    more = table.slice(0, 3).set_column(0, "user", pa.array([10**9, 10**9 + 1, 5]))
    more = more.set_column(1, "item", pa.array([1, 2, 10**9]))
    pq.write_table(pa.concat_tables([table, more]), tmp_path / "more.parquet")
    words = ("--log", parts / "train", "-k", 5)
    _, plain = judged(snapshot, tmp_path, *words, "--test", parts / "test")
    _, found = judged(snapshot, tmp_path, *words, "--test", tmp_path / "more.parquet")
    assert found["counts"]["test rows of unknown users"] == 2
    assert found["counts"]["test rows of unknown items"] == 1
    assert found["rows"] == plain["rows"]


def test_what_is_known_from_training_is_neither_shown_nor_asked_for(
    snapshot: Path, parts: Path, tmp_path: Path, small_log: Dataset
) -> None:
    train, _ = split_by_time(small_log.log, 2.0)
    both = replace(small_log, log=small_log.log.take(np.arange(len(small_log.log)) >= len(train) - 500))
    write_parquet(both, tmp_path / "both")
    words = ("--log", parts / "train", "-k", 5)
    _, plain = judged(snapshot, tmp_path, *words, "--test", parts / "test")
    _, found = judged(snapshot, tmp_path, *words, "--test", tmp_path / "both")
    assert any("are in training too" in note for note in found["notes"])
    lists = [{key: row["at"]["5"][key] for key in ("recall", "map")} for row in found["rows"]]
    assert lists == [{key: row["at"]["5"][key] for key in ("recall", "map")} for row in plain["rows"]]


def test_every_known_item_is_barred_and_no_other(engine: Engine, small_log: Dataset) -> None:
    train, test = split_by_time(small_log.log, 2.0)
    items = len(engine.items)
    known = known_pairs(train, items)
    question = held_out(train, test, items).blocking(known)
    bars = without_filter(engine.funnel).bars
    requests = question.requests
    every = torch.arange(items).repeat(len(requests))
    offsets = torch.arange(len(requests) + 1) * items
    why = bars.why(requests, torch.arange(len(requests)), offsets, every)
    pairs = (requests.user[:, None] * items + torch.arange(items)).flatten().numpy()
    assert np.array_equal((why & 4).numpy() > 0, np.isin(pairs, known))
    assert not (why & 1).any()
    # A channel alone gives as many as it has, however many the user knows.
    popular = next(one for one in engine.funnel.channels if one.name == "popular")
    counts = alone(requests, popular, 300, bars).counts
    free = [
        len(set(popular.item.tolist()) - set((known[known // items == user] % items).tolist()))
        for user in requests.user.tolist()
    ]
    assert counts.tolist() == [min(300, n) for n in free]


@pytest.mark.parametrize("way", [*WAYS])
def test_a_log_is_parted_and_read_again(way: str, tmp_path: Path, small_log: Dataset) -> None:
    write_parquet(small_log, tmp_path / "log")
    more = ("-n", 2) if way == "last" else ()
    code, text = run("split", "--log", tmp_path / "log", "--out", tmp_path / "parts", "--by", way, *more)
    assert code == 0, text
    train, test = (read_parquet(tmp_path / "parts" / side) for side in ("train", "test"))
    expected = Split(by=way, n=2 if way == "last" else None).apply(small_log.log)
    for found, log in zip((train, test), expected, strict=True):
        assert np.array_equal(found.log.user, log.user)
        assert np.array_equal(found.log.time, log.time)
        assert np.array_equal(found.users.ids.ids, small_log.users.ids.ids)
    assert f"{len(expected[1]):,}" in text
    if way == "time":
        assert expected[0].time[-1] < expected[1].time[0]
    code, text = run("split", "--log", tmp_path / "log", "--out", tmp_path / "parts")
    assert code == 2
    assert "expected no such folder yet, or an empty one" in text


def test_ratings_are_clicks_from_the_threshold_of_the_settings_on(tmp_path: Path, snapshot: Path) -> None:
    rating = np.arange(400) % 5 + 1
    log = write(tmp_path / "log", rating=rating)
    (tmp_path / "three.toml").write_text("positive_rating = 3")
    code, text = run("split", "--log", log, "--out", tmp_path / "parts", "--settings", tmp_path / "three.toml")
    assert code == 0, text
    train = read_parquet(tmp_path / "parts" / "train").log
    assert train.signals["click"].tolist() == (rating[:320] >= 3).tolist()
    found = read_rows(log / "log.parquet", positive=5)
    assert found.log.signals["click"].tolist() == (rating == 5).tolist()
    assert found.notes == ("log.parquet: a rating of 5 or more is taken as a click",)


def test_an_engine_is_built_on_the_training_part(tmp_path: Path) -> None:
    click = (np.arange(400) % 3 == 0).astype(np.int8)
    log = write(tmp_path / "log", click=click, impression=np.ones(400, np.int8))
    toml = tmp_path / "tiny.toml"
    unbuilt = ("two_tower", "author_latest", "popular_in_category")
    lines = [f"[channels.{name}]\nquota = 0" for name in unbuilt]
    lines += ["[preranker.network]\nembedding_dim = 2", "[ranker]\nmodel = 'dcn_v2'"]
    lines += ["[ranker.network]\nembedding_dim = 2\nlayers = 1"]
    toml.write_text("\n".join(lines))
    words = ("--log", log, "--by", "leave-one-out", "-k", 5, "--settings", toml, "--out", tmp_path / "kept")
    code, text = run("evaluate", *words)
    assert code == 0, text
    assert "each user's last one of interest" in text
    assert Engine.load(tmp_path / "kept").as_of < 10**12 + 60_000 * 400


def test_yardsticks_know_the_older_history(
    parts: Path, small_log: Dataset, snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = (read_parquet(parts / side) for side in ("train", "test"))
    half = len(train.log) // 2
    older = train.log.take(slice(0, half))
    given = replace(train.with_log(train.log.take(slice(half, None))), history=replace(older, context={}))
    seen: list[Dataset] = []
    monkeypatch.setattr("headrace.evaluation.run.yardsticks", lambda funnel, dataset, seed: seen.append(dataset) or {})
    evaluate_logs(Engine.load(snapshot), "it", given, test, "the end", Asked.of("5", "interest", "end", None, 0))
    (learnt,) = seen
    assert learnt.history is not None
    # In the snapshot's rows.
    ids = Engine.load(snapshot).items.ids[learnt.history.item]
    assert ids.tolist() == train.catalogue.ids.ids[older.item].tolist()


def test_wanted_items_that_are_too_old_are_counted(
    parts: Path, tmp_path: Path, small_log: Dataset, snapshot: Path
) -> None:
    engine = Engine.load(snapshot)
    stock = replace(engine.funnel.bars.stock, recall_ms=5 * 86_400_000)
    engine.funnel = replace(engine.funnel, bars=replace(engine.funnel.bars, stock=stock))
    train, test = (read_parquet(parts / side) for side in ("train", "test"))
    found = evaluate_logs(engine, "it", train, test, "the end", Asked.of("5", "interest", "end", None, 0))
    known = set(zip(train.log.user.tolist(), train.log.item.tolist(), strict=True))
    rows = test.log.take(test.log.interest() > 0)
    wanted = [pair for pair in set(zip(rows.user.tolist(), rows.item.tolist(), strict=True)) if pair not in known]
    published = small_log.catalogue.publish_time
    assert published is not None
    old = sum(published[item] < found.at_ms - 5 * 86_400_000 for _, item in wanted)
    assert any(f"{old:,} of the {len(wanted):,} items wanted are then older than the 5 days" in x for x in found.notes)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "test: expected --test, or --by to hold out a part of --log, got neither"),
        (["--test", "{test}", "--by", "time", "--log", "{train}"], "test: expected --test, or --by .* got both"),
        (["--by", "time"], "log: expected --log with --by, got none"),
        (["--test", "{test}"], "log: expected --log with --test without --snapshot, got none"),
        (["--snapshot", "{snapshot}", "--test", "{test}", "--out", "x"], "out: expected it where an engine is built"),
        (["--snapshot", "{snapshot}", "--test", "{test}", "--days", "1"], "by: expected --by with --cut, --days"),
        (["--snapshot", "{snapshot}", "--test", "{test}", "-k", "0"], "k: expected whole numbers from 1 to 1000"),
        (["--snapshot", "{snapshot}", "--test", "{test}", "--at", "soon"], "at: expected a date or time"),
        (["--snapshot", "{snapshot}", "--test", "{test}", "--at", "+x"], "at: expected days after the end, as .7"),
        (["--snapshot", "{snapshot}", "--test", "{test}", "--at", "1999-01-01"], "at: expected milliseconds since the"),
        (["--snapshot", "{snapshot}", "--test", "{test}", "--positive", "stars"], "positive: expected NAME or NAME>=N"),
        (
            ["--snapshot", "{snapshot}", "--test", "{cold}", "--positive", "collect"],
            "positive: expected one of interest",
        ),
        (["--snapshot", "{snapshot}", "--test", "{empty}"], "test: expected at least 1 row in empty, got 0"),
        (["--snapshot", "{snapshot}", "--test", "{strange}"], "test: expected rows of the snapshot's users and items"),
        (["--snapshot", "{snapshot}", "--test", "{words}"], "test: users: ids: expected integer ids, got .*snapshot"),
        (
            ["--snapshot", "{snapshot}", "--test", "{cold}"],
            "test: expected at least 1 row that is interest, got none of",
        ),
        (
            ["--snapshot", "{snapshot}", "--test", "{train}", "--log", "{train}"],
            "test: expected positives that users do not know from training, got [0-9,]+ that they know",
        ),
        (["--snapshot", "{snapshot}", "--test", "nowhere"], "nowhere: no such folder"),
        (
            ["--snapshot", "{snapshot}", "--test", "{test}", "--log", "{others}"],
            "log: expected the log that the snapshot was built on, got others, in which 835 of 835 rows are of users",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused(
    words: list[str], error: str, snapshot: Path, parts: Path, tmp_path: Path, small_log: Dataset
) -> None:
    table = pq.read_table(parts / "test" / "log.parquet")
    texts = pa.array([f"user {one}" for one in table["user"].to_pylist()])
    cold = pa.array(np.zeros(table.num_rows, np.int8))
    signals = [
        name for name in ("click", "like", "collect", "share", "follow", "comment") if name in table.column_names
    ]
    made = {
        "empty": table.slice(0, 0),
        "strange": table.set_column(0, "user", pa.array(np.arange(table.num_rows) + 10**9)),
        "words": table.set_column(0, "user", texts),
        "cold": table.drop_columns(signals).append_column("click", cold),
    }
    for name, one in made.items():
        pq.write_table(one, tmp_path / f"{name}.parquet")
    write_parquet(
        Dataset(
            "others",
            Users(IdMap(np.arange(400) + 10**6)),
            Catalogue(IdMap(np.arange(500))),
            small_log.log.take(np.arange(len(small_log.log)) >= len(small_log.log) - 835),
        ),
        tmp_path / "others",
    )
    paths = {name: tmp_path / f"{name}.parquet" for name in made} | {
        "others": tmp_path / "others",
        "test": parts / "test",
        "train": parts / "train",
    }
    code, text = run("evaluate", *(word.format(snapshot=snapshot, **paths) for word in words))
    assert code == 2, text
    assert re.search(error, " ".join(text.split())), text
