"""`headrace neighbours`: an item's neighbours by each method, with titles."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tiny import TINY
from typer.testing import CliRunner

from headrace.build import build
from headrace.cli import app
from headrace.data import generate, read_parquet, write_parquet
from headrace.settings import Settings

QUOTAS = {
    "itemcf": {"quota": 20, "min_common": 1},
    "popular": {"quota": 5},
    "matrix_completion": {"quota": 5, "dim": 4},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = generate(users=40, items=90, events=1_500, seed=1).dataset
    titled = dataclasses.replace(made.catalogue, title=[f"The {i}th [bold]thing" if i % 9 else "" for i in range(90)])
    out: Path = tmp_path_factory.mktemp("neighbours")
    write_parquet(dataclasses.replace(made, catalogue=titled), out / "log")
    again = read_parquet(out / "log")
    assert again.catalogue.title == titled.title
    told = TINY.model_dump(mode="json")
    told["channels"] |= QUOTAS
    build(again, Settings.model_validate(told), out / "snapshot")
    return out / "snapshot"


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["neighbours", *map(str, words)])
    return result.exit_code, result.output


def test_each_method_has_a_table_with_titles(folder: Path) -> None:
    code, text = run("--snapshot", folder, "--item", 1_000_008, "-k", 3)
    assert code == 0, text
    assert "Neighbours of 1000008, The 7th [bold]thing" in text
    assert text.index("itemcf") < text.index("matrix_completion")
    assert "popular" not in text
    for table in text.split("likeness")[1:]:
        assert "thing" in table
        assert "\n 1 " in table
        assert "\n 4 " not in table
    assert "\n 3 " in text


def test_one_method(folder: Path) -> None:
    code, text = run("--snapshot", folder, "--item", 1_000_008, "--method", "itemcf")
    assert code == 0, text
    assert "matrix_completion" not in text


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--item", 7), "item: expected one of the snapshot's, got '7'"),
        (("--item", "x"), "ids: expected whole numbers that fit int64, got 'x'"),
        (
            ("--item", 1_000_008, "--method", "popular"),
            "method: expected one of itemcf, matrix_completion, got 'popular'",
        ),
    ],
)
def test_what_is_not_there_is_refused(folder: Path, words: tuple[object, ...], error: str) -> None:
    code, text = run("--snapshot", folder, *words)
    assert code == 2
    assert error in " ".join(text.split())
