"""A snapshot's folder: what is never touched, who may write, and what is left when writers die or meet."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from forked import ended, forked, killed_at
from typer.testing import CliRunner

from headrace.cli import app
from headrace.kernels import atomic
from headrace.snapshot import Snapshot, SnapshotError, check_folder, read_snapshot, work_folder, write_snapshot
from headrace.state import State

LONG_AGO = time.time() - 7 * 86_400


def made(value: int, size: int = 100) -> Snapshot:
    part = State({"x": torch.full((size,), float(value)), "y": torch.full((size,), value)}, {"value": value})
    return Snapshot({"part": part}, {"items": pa.table({"id": [value]})}, {"value": value})


def whole(folder: Path) -> int:
    """The value of the snapshot, which all of it must have."""
    back = read_snapshot(folder)
    value: int = back.info["value"]
    assert bool((back.states["part"]["x"] == value).all())
    assert bool((back.states["part"]["y"] == value).all())
    assert back.states["part"]["value"] == value
    assert back.tables["items"]["id"].to_pylist() == [value]
    return value


def versions(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("*/manifest.json")}


def in_use(folder: Path) -> str:
    return (folder / "CURRENT").read_text().split()[0]


def aged(folder: Path) -> Path:
    """The folder, as if nothing in it had changed for a week."""
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (LONG_AGO, LONG_AGO))
    return folder


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of somebody's work, all of it a week old."""
    folder = tmp_path / "project"
    for name in (".git/HEAD", "src/main.py", "log/log.parquet", "work/thesis.txt", "20250101/data"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(name)
    return aged(folder)


def test_a_build_into_a_project_is_refused_before_anything_is_done(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(project)
    monkeypatch.chdir(project)
    run = CliRunner().invoke(app, ["build", "--log", "log", "--out", "."])
    assert run.exit_code == 2
    said = (
        "error: .: expected a snapshot's folder, an empty one or none yet, got one with .git, 20250101, log and 2 more"
    )
    assert said in run.stderr.replace("\n", " ")
    for write in (lambda: write_snapshot(project, made(1)), lambda: work_folder(project, "0" * 16).__enter__()):
        with pytest.raises(SnapshotError, match=r"project: expected a snapshot's folder, .* got one with \.git"):
            write()
    assert tree(project) == before


@pytest.mark.parametrize(
    "names", [["notes.txt"], ["CURRENT"], ["work/a"], ["LOCK", "x/y"], [".headrace-part-of-mine/a"], ["work-1/net.pt"]]
)
def test_a_folder_with_anything_foreign_is_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("MANIFEST-000005\n")
    before = tree(tmp_path)
    with pytest.raises(SnapshotError, match="got one with"):
        write_snapshot(tmp_path, made(1))
    assert tree(tmp_path) == before


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(SnapshotError, match="s: expected a folder, got a file"):
        write_snapshot(tmp_path / "s", made(1))


def test_foreign_folders_in_a_snapshot_stay(tmp_path: Path, project: Path) -> None:
    folder = tmp_path / "snapshot"
    write_snapshot(folder, made(0))
    shutil.copytree(project, folder, dirs_exist_ok=True)
    (folder / "20250101T000000-0000000z").mkdir()
    (folder / "20250101T000000-00000000").symlink_to(project, target_is_directory=True)
    aged(folder)
    for value in range(1, 4):
        write_snapshot(folder, made(value))
        with work_folder(folder, f"{value:016x}") as work:
            (work / "net.pt").write_text("weights")
    assert whole(folder) == 3
    assert len(versions(folder)) == 2
    assert tree(project).items() <= tree(folder).items()
    foreign = {path.name for path in project.iterdir()} | {"20250101T000000-0000000z", "20250101T000000-00000000"}
    assert {path.name for path in folder.iterdir()} == foreign | versions(folder) | {"CURRENT", "LOCK"}


def test_a_damaged_current_can_be_written_over(tmp_path: Path) -> None:
    write_snapshot(tmp_path, made(1))
    (tmp_path / "CURRENT").write_text("")
    write_snapshot(tmp_path, made(2))
    assert whole(tmp_path) == 2
    assert len(versions(tmp_path)) == 2
    (tmp_path / "CURRENT").write_text("")
    (tmp_path / "mine").mkdir()
    with pytest.raises(SnapshotError, match="got one with mine"):
        write_snapshot(tmp_path, made(3))


def test_checkpoints_stay_for_the_same_job_alone(tmp_path: Path) -> None:
    def interrupted(job: str) -> None:
        with work_folder(tmp_path, job) as work:
            (work / "net.pt").write_text(job)
            raise KeyboardInterrupt

    for job in ("a" * 16, "b" * 16):
        with pytest.raises(KeyboardInterrupt):
            interrupted(job)
    with work_folder(tmp_path, "c" * 16), work_folder(tmp_path, "a" * 16) as work:
        assert (work / "net.pt").read_text() == "a" * 16
        with pytest.raises(SnapshotError, match="expected no other build of the same job"):
            work_folder(tmp_path, "a" * 16).__enter__()
        with work_folder(tmp_path, "d" * 16):
            pass
        # Those at work stay, whoever ends.
        assert {path.name for path in tmp_path.glob("work-*")} == {f"work-{c * 16}" for c in "ac"}
    assert os.listdir(tmp_path) == ["LOCK"]
    check_folder(tmp_path)
    for job in ("", "../x", "A" * 16, "a" * 17):
        with pytest.raises(ValueError, match="job: expected 16 hex digits"):
            work_folder(tmp_path, job).__enter__()


@pytest.mark.parametrize("there", [False, True])
def test_a_job_that_kept_nothing_leaves_nothing(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "s"
    if there:
        write_snapshot(folder, made(1))

    def refused() -> None:
        with work_folder(folder, "a" * 16):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        refused()
    assert folder.exists() == there
    assert not list(tmp_path.rglob("work-*"))


def test_a_writer_killed_anywhere_leaves_a_whole_snapshot_and_the_one_before(tmp_path: Path) -> None:
    write_snapshot(tmp_path, made(0))
    write_snapshot(tmp_path, made(1))
    value, place = 1, 0
    while True:
        before = in_use(tmp_path), versions(tmp_path)
        if not killed_at(place, lambda: write_snapshot(tmp_path, made(value + 1))):  # noqa: B023
            break
        new = in_use(tmp_path) != before[0]
        value += new
        assert whole(tmp_path) == value
        # Kills never evict what was in use, nor the version before it while nothing new is.
        assert before[0] in versions(tmp_path)
        assert new or before[1] <= versions(tmp_path)
        place += 1
    assert place > 15
    assert whole(tmp_path) == value + 1
    assert versions(tmp_path) == {before[0], in_use(tmp_path)}
    assert set(os.listdir(tmp_path)) == {*versions(tmp_path), "CURRENT", "LOCK"}


def test_writers_at_once_leave_a_whole_snapshot(tmp_path: Path) -> None:
    def write(number: int) -> None:
        for turn in range(12):
            write_snapshot(tmp_path, made(100 * number + turn))

    children = [forked(lambda n=number: write(n)) for number in range(3)]
    assert [ended(child) for child in children] == [0, 0, 0]
    assert whole(tmp_path) % 100 == 11
    assert len(versions(tmp_path)) == 2
    assert set(os.listdir(tmp_path)) == {*versions(tmp_path), "CURRENT", "LOCK"}


def test_readers_get_an_answer_while_versions_come_and_go(tmp_path: Path) -> None:
    write_snapshot(tmp_path, made(0))

    def write() -> None:
        value = 0
        while True:
            value += 1
            write_snapshot(tmp_path, made(value))

    writer = forked(write)
    try:
        seen = [whole(tmp_path)]
        while seen[-1] < 6:
            seen.append(whole(tmp_path))
    finally:
        os.kill(writer, signal.SIGKILL)
        ended(writer)
    assert seen == sorted(seen)


def test_a_version_that_goes_during_a_slow_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from headrace.snapshot import reading

    write_snapshot(tmp_path, made(0))
    check, left = reading._check_part, [2, 2]

    def slow(*arguments: object) -> None:
        if left:
            for _ in range(left.pop()):
                write_snapshot(tmp_path, made(10 - len(left)))
        check(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "_check_part", slow)
    assert whole(tmp_path) == 10
    shutil.rmtree(tmp_path / in_use(tmp_path))
    with pytest.raises(SnapshotError, match="CURRENT: expected the name of a version folder"):
        read_snapshot(tmp_path)


def test_a_full_disk_when_current_moves_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_snapshot(tmp_path, made(0))
    replace, before = atomic.replace, set(os.listdir(tmp_path))

    def full(path: Path) -> object:
        if path.name == "CURRENT":
            raise OSError(28, "No space left on device", str(path))
        return replace(path)

    monkeypatch.setattr(atomic, "replace", full)
    with pytest.raises(OSError, match=r"No space left on device.*CURRENT"):
        write_snapshot(tmp_path, made(1))
    assert whole(tmp_path) == 0
    assert set(os.listdir(tmp_path)) == before


def test_another_user_can_read_what_the_umask_lets_him(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        version = write_snapshot(tmp_path / "s", made(1))
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in version.iterdir()}
    assert modes == dict.fromkeys(("part.safetensors", "items.arrow", "manifest.json"), 0o644)
    assert version.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "s" / "CURRENT").stat().st_mode & 0o777 == 0o644


def test_writers_in_threads(tmp_path: Path) -> None:
    threads = [threading.Thread(target=write_snapshot, args=(tmp_path, made(number))) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert whole(tmp_path) in range(6)
    assert len(versions(tmp_path)) == 2
