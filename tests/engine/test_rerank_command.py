"""`headrace rerank` on the small engine: what it prints, what it writes, and how it refuses."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace.cli import app
from headrace.data import Dataset, write_parquet


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["rerank", *map(str, words)])
    return result.exit_code, result.output


def test_explained_pages(snapshot: Path, tmp_path: Path) -> None:
    code, text = run(
        "--snapshot", snapshot, "--explain", "--users", "3", "--user", "999999", "-k", 8, "--out", tmp_path
    )
    assert code == 0, text
    assert "user 999999 is unknown" in text
    assert "User 3, pick by pick" in text
    assert "rules[1] max_run author k=2" in text
    page = (tmp_path / "rerank.html").read_text()
    HTMLParser().feed(page)
    assert page.count('<svg viewBox="0 0 320 320"') == 4
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_sweep_with_what_users_wanted(snapshot: Path, small_log: Dataset, tmp_path: Path) -> None:
    write_parquet(small_log, tmp_path / "log")
    code, text = run(
        "--snapshot", snapshot, "--log", tmp_path / "log", "--sweep", "--requests", 20, "-k", 8, "--out", tmp_path
    )
    assert code == 0, text
    for words in ("DPP", "MMR", "SSD", "MSD", "held-out clicks a page", "yardstick in torch"):
        assert words in text
    assert "polyline" in (tmp_path / "rerank.html").read_text()


def test_a_user_is_drawn_when_none_is_given(snapshot: Path, tmp_path: Path) -> None:
    code, text = run("--snapshot", snapshot, "--explain", "-k", 5, "--requests", 9, "--out", tmp_path)
    assert code == 0, text
    assert "One page, before and after" in text


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--explain"], "expected --snapshot, --log or both, got neither"),
        (["--snapshot", "{}"], "expected --explain, --sweep or both, got neither"),
        (["--snapshot", "{}", "--explain", "--user", "1,2"], "ids: expected whole numbers that fit int64, got '1,2'"),
        (["--snapshot", "{}", "--explain", "--users", "x"], "ids: expected whole numbers that fit int64, got 'x'"),
    ],
)
def test_bad_words_are_refused(words: list[str], error: str, snapshot: Path, tmp_path: Path) -> None:
    code, text = run(*(word.format(snapshot) for word in words), "--out", tmp_path)
    assert code == 2
    assert error in " ".join(text.split())


def test_a_log_of_others_is_refused(snapshot: Path, tmp_path: Path) -> None:
    from headrace.data import generate

    write_parquet(generate(50, 60, 500, seed=3).dataset, tmp_path / "log")
    code, text = run("--snapshot", snapshot, "--log", tmp_path / "log", "--sweep", "--out", tmp_path)
    assert code == 2
    assert "expected the users and items of the snapshot" in " ".join(text.split())
