"""Files that are replaced together are all old or all new, whoever dies and whoever reads meanwhile."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from forked import ended, forked, killed_at
from typer.testing import CliRunner

from headrace.cli import app
from headrace.data import generate, read, read_parquet, write_parquet
from headrace.data.folder import of_one_replacement, replace_files, settle

NAMES = ("a", "b", "c")


def put(folder: Path, value: int) -> None:
    """Replaces the files by some that say `value`; "c" is there for even values alone."""

    def write(part: Path) -> None:
        for name in NAMES[: 3 - value % 2]:
            (part / name).write_text(str(value))

    replace_files(folder, NAMES, write)


@of_one_replacement(NAMES)
def get(folder: str | Path) -> int:
    """The value that all the files say."""
    found = {name: (Path(folder) / name).read_text() for name in NAMES if (Path(folder) / name).exists()}
    (value,) = map(int, set(found.values()))
    assert len(found) == 3 - value % 2
    return value


def test_a_writer_killed_anywhere_mixes_nothing(tmp_path: Path) -> None:
    put(tmp_path, 0)
    (tmp_path / "mine").write_text("mine")
    value, place = 0, 0
    while killed_at(place, lambda: put(tmp_path, value + 1)):  # noqa: B023
        now = get(tmp_path)
        assert now in (value, value + 1)
        value, place = now, place + 1
    assert place > 15
    assert get(tmp_path) == value + 1
    assert (tmp_path / "mine").read_text() == "mine"
    assert set(os.listdir(tmp_path)) - {"c"} == {"a", "b", "mine", ".headrace-lock"}


def test_a_reader_killed_while_it_ends_a_replacement(tmp_path: Path) -> None:
    put(tmp_path, 0)
    # Cut off as soon as the new files count: what is left is all in the folder of the next.
    place = 0
    while killed_at(place, lambda: put(tmp_path, 1)) and not (tmp_path / ".headrace-next").exists():
        place += 1
    steps = 0
    while killed_at(steps, lambda: settle(tmp_path)):
        steps += 1
    assert steps > 3
    assert get(tmp_path) == 1


def test_writers_and_readers_at_once(tmp_path: Path) -> None:
    put(tmp_path, 0)

    def write(first: int) -> None:
        for turn in range(15):
            put(tmp_path, first + turn)

    children = [forked(lambda first=first: write(first)) for first in (100, 200)]
    for _ in range(100):
        get(tmp_path)
    assert [ended(child) for child in children] == [0, 0]
    assert get(tmp_path) in (114, 214)


def test_a_full_disk_leaves_the_old_log(tmp_path: Path) -> None:
    old, new = (generate(10, 30, 200, seed=seed).dataset for seed in (1, 2))
    write_parquet(old, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def filled() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
        with pytest.raises(OSError, match=str(tmp_path)):
            write_parquet(new, tmp_path)

    assert ended(forked(filled)) == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert (read_parquet(tmp_path).log.user == old.log.user).all()


def test_a_new_folder_cut_off_before_the_move_is_known(tmp_path: Path) -> None:
    write_parquet(generate(10, 30, 200, seed=1).dataset, tmp_path / "whole")
    moved = tmp_path / "cut" / ".headrace-next"
    moved.parent.mkdir()
    moved.mkdir()
    for path in (tmp_path / "whole").glob("*.parquet"):
        path.rename(moved / path.name)
    (moved / "history.parquet").touch()
    assert len(read(tmp_path / "cut").log) == 200
    assert not moved.exists()


@pytest.mark.parametrize("name", ["log.parquet", "catalogue.parquet", "history.parquet"])
def test_a_log_of_somebodys_is_not_replaced_by_a_synthetic_one(tmp_path: Path, name: str) -> None:
    real = tmp_path / "real"
    real.mkdir()
    pq.write_table(pa.table({"user": [1], "item": [2], "time": [3]}), real / name)
    before = (real / name).read_bytes()
    sizes = ["--users", "5", "--items", "8", "--events", "20"]
    run = CliRunner().invoke(app, ["generate", "--out", str(real), *sizes])
    assert run.exit_code == 2
    assert f"{name}: expected none, or one of a synthetic log" in run.stderr.replace("\n", "")
    assert {path.name: path.read_bytes() for path in real.iterdir()} == {name: before}
    (real / name).write_bytes(b"not even Parquet")
    assert CliRunner().invoke(app, ["generate", "--out", str(real), *sizes]).exit_code == 2
    for seed in ("1", "2"):
        run = CliRunner().invoke(app, ["generate", "--out", str(tmp_path / "made"), "--seed", seed, *sizes])
        assert run.exit_code == 0
