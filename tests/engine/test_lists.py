"""Lists of one channel alone, and of all users as a file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

from headrace.cli import app
from headrace.serving import Engine
from headrace.serving import export as module
from headrace.serving.export import write_lists


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["recommend", *map(str, words)])
    return result.exit_code, result.output


def test_a_channel_alone_gives_its_best_that_may_be_shown(engine: Engine) -> None:
    users = engine.users.ids[:30].tolist()
    popular = next(one for one in engine.funnel.channels if one.name == "popular")
    seen = engine.funnel.exposure
    stock, every = engine.funnel.bars.stock, torch.tensor([0, len(popular.item)])
    old = stock.old(torch.tensor([engine.as_of]), every, popular.item) & (stock.recall_ms > 0)
    for row, page in enumerate(engine.recall(users, "popular", 25)):
        free = popular.item[~old & ~seen.seen(torch.full_like(popular.item, row), popular.item, engine.as_of)]
        assert page.items == engine.items.external(free[:25].numpy()).tolist()
        assert page.channels == [["popular"]] * len(page.items)
    assert page.at == engine.as_of


def test_what_is_blocked_is_not_in_a_channels_list(engine: Engine) -> None:
    (plain,) = engine.recall([3], "itemcf", 10)
    (barred,) = engine.recall([3], "itemcf", 10, blocked=[{"item": plain.items[:4]}])
    assert barred.items[:6] == plain.items[4:]
    assert engine.recall([], "itemcf") == []
    assert engine.recall([10**9], "itemcf", 5)[0].items == []


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([3], "swing"), ValueError, "channel: expected one of .*popular.*, which the snapshot has, got 'swing'"),
        (([3], ["popular"]), TypeError, r"channel: expected a name, got \['popular'\]"),
        (([3], "popular", 0), ValueError, "k: expected at least 1, got 0"),
        ((["3"], "popular"), TypeError, "user_ids: expected integer ids"),
    ],
)
def test_errors_name_the_argument(
    arguments: tuple[object, ...], error: type[Exception], words: str, engine: Engine
) -> None:
    with pytest.raises(error, match=words):
        engine.recall(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("channel", [None, "two_tower"])
def test_the_file_has_the_pages_of_all_users(
    channel: str | None, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH", 50)  # the last batch is short
    rows = write_lists(engine, tmp_path / "new" / "top.parquet", 7, channel=channel)
    table = pq.read_table(tmp_path / "new" / "top.parquet")
    assert table.column_names == ["user", "rank", "item", "score", "channels"]
    users = engine.users.ids.tolist()
    pages = engine.recommend(users, 7) if channel is None else engine.recall(users, channel, 7)
    expected = [
        (page.user, rank, item, score, ",".join(names))
        for page in pages
        for rank, (item, score, names) in enumerate(zip(page.items, page.scores, page.channels, strict=True), 1)
    ]
    assert rows == len(expected)
    assert list(zip(*(column.to_pylist() for column in table.columns), strict=True)) == expected


def test_the_command_writes_all_or_asks_one_channel(snapshot: Path, tmp_path: Path) -> None:
    code, text = run("--snapshot", snapshot, "--all-users", "--out", tmp_path / "top.parquet", "-k", 3)
    assert code == 0, text
    assert "rows of 120 users" in text
    assert set(pq.read_table(tmp_path / "top.parquet")["rank"].to_pylist()) == {1, 2, 3}
    code, text = run("--snapshot", snapshot, "--user", 3, "--channel", "popular", "-k", 4)
    assert code == 0, text
    assert len(json.loads(text)["items"]) == 4


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--all-users"], "out: expected both --all-users and --out, got only --all-users"),
        (["--user", 3, "--out", "x"], "out: expected both --all-users and --out, got only --out"),
        (["--all-users", "--out", "x", "--user", 3], "all-users: expected it without --users, --user and --reasons"),
        (
            ["--user", 3, "--channel", "swing"],
            "channel: expected one of .*popular, .*which the snapshot has, got 'swing'",
        ),
        (["--user", 3, "--channel", "popular", "--reasons"], "reasons: expected it without --channel, got both"),
    ],
)
def test_what_does_not_go_together_is_refused(words: list[object], error: str, snapshot: Path) -> None:
    code, text = run("--snapshot", snapshot, *words)
    assert code == 2
    assert re.search(error, " ".join(text.split())), text
    assert not Path("x").exists()
