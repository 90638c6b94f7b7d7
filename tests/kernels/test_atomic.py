"""Files and folders appear whole or not at all, whatever their writers die of."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from headrace.kernels import atomic

#: The module alone, without the libraries that its package loads.
ALONE = f"""
import sys, time
sys.path.append({str(Path(atomic.__file__).parent)!r})
import atomic
"""
WRITER = f"""{ALONE}
with atomic.replace(sys.argv[1]) as part:
    if sys.argv[2] == "folder":
        part.mkdir()
        part = part / "inner"
    part.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def stopped_writer(path: Path, kind: str = "file") -> subprocess.Popen[str]:
    """A process that stands in the middle of a write."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, path, kind], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def killed(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_file_is_replaced_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "some.txt"
    path.write_text("old")
    with atomic.replace(path) as part:
        assert part.name == "some.txt"
        assert not part.exists()
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["some.txt"]


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with atomic.replace(tmp_path / "made") as part:
        (part / "deep").mkdir(parents=True)
        (part / "deep" / "a").write_text("a")
    assert (tmp_path / "made" / "deep" / "a").read_text() == "a"
    (tmp_path / "empty").mkdir()
    with atomic.replace(tmp_path / "empty") as part:
        part.mkdir()
        (part / "b").write_text("b")
    assert os.listdir(tmp_path / "empty") == ["b"]
    with pytest.raises(OSError, match="made") as caught, atomic.replace(tmp_path / "made") as part:
        part.mkdir()
    assert caught.value.errno == errno.ENOTEMPTY
    assert sorted(os.listdir(tmp_path)) == ["empty", "made"]


def test_what_raises_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "some.txt"
    path.write_text("old")

    def interrupted() -> None:
        with atomic.replace(path) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with atomic.replace(path):
        pass
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["some.txt"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_modes_are_those_of_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        for name in ("file", "folder/inner"):
            with atomic.replace(tmp_path / name.split("/")[0]) as part:
                inner = part.parent / name
                inner.parent.mkdir(exist_ok=True)
                inner.touch(0o600)
    finally:
        os.umask(before)
    for name in ("file", "folder/inner"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o777 & ~umask


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path, kind: str) -> None:
    dead, alive = (stopped_writer(tmp_path / name, kind) for name in ("dead", "alive"))
    try:
        killed(dead)
        (tmp_path / ".headrace-part-0123456789abcdef").mkdir()
        (tmp_path / ".headrace-part-of-somebody").mkdir()
        (tmp_path / ".headrace-part-fedcba9876543210").write_text("a file of somebody's")
        assert len(os.listdir(tmp_path)) == 5
        with atomic.replace(tmp_path / "other") as part:
            part.write_text("whole")
        left = set(os.listdir(tmp_path)) - {"other", ".headrace-part-of-somebody", ".headrace-part-fedcba9876543210"}
        (part_of_the_living,) = left
        assert sorted(os.listdir(tmp_path / part_of_the_living)) == ["alive", "lock"]
    finally:
        killed(alive)
    atomic.remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".headrace-part-fedcba9876543210", ".headrace-part-of-somebody", "other"]


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "aim").write_text("aim")
    (tmp_path / "link").symlink_to(tmp_path / "aim")
    with atomic.replace(tmp_path / "link") as part:
        part.write_text("new")
    assert (tmp_path / "aim").read_text() == "aim"
    assert not (tmp_path / "link").is_symlink()


def test_errors_name_what_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none/some\.txt'$"), atomic.replace(tmp_path / "none" / "some.txt"):
        pass
    with pytest.raises(FileNotFoundError, match=r"some\.txt'$"), atomic.replace(tmp_path / "some.txt") as part:
        part.read_text()
    with pytest.raises(FileNotFoundError, match=r"another'$"), atomic.replace(tmp_path / "some.txt"):
        (tmp_path / "another").read_text()
    with (
        pytest.raises(OSError, match=r"some\.txt: could not be written: by words"),
        atomic.replace(tmp_path / "some.txt"),
    ):
        raise OSError("by words")
    for odd in ("/", ".."):
        with pytest.raises(IsADirectoryError), atomic.replace(odd):
            pass
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    code = f"""{ALONE}
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
with atomic.replace(sys.argv[1]) as part:
    part.write_bytes(bytes(100_000))
"""
    (tmp_path / "some.bin").write_text("old")
    run = subprocess.run([sys.executable, "-c", code, tmp_path / "some.bin"], capture_output=True, text=True)
    assert run.stderr.endswith(f"OSError: [Errno {errno.EFBIG}] File too large: '{tmp_path / 'some.bin'}'\n")
    assert (tmp_path / "some.bin").read_text() == "old"
    assert os.listdir(tmp_path) == ["some.bin"]


def test_many_writers_of_one_file(tmp_path: Path) -> None:
    def write(number: int) -> None:
        for _ in range(20):
            with atomic.replace(tmp_path / "some.txt") as part:
                part.write_text(str(number) * 1000)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = (tmp_path / "some.txt").read_text()
    assert text in [str(number) * 1000 for number in range(4)]
    assert os.listdir(tmp_path) == ["some.txt"]


def test_a_lock_is_held_by_one_and_dies_with_its_holder(tmp_path: Path) -> None:
    code = f"""{ALONE}
with atomic.locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""
    holder = subprocess.Popen([sys.executable, "-c", code, tmp_path / "lock"], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(BlockingIOError), atomic.locked(tmp_path / "lock", wait=False):
        pass
    got = threading.Event()

    def take() -> None:
        with atomic.locked(tmp_path / "lock"):
            got.set()

    thread = threading.Thread(target=take)
    thread.start()
    assert not got.wait(0.2)
    killed(holder)
    thread.join()
    assert got.is_set()


def test_a_lock_that_its_holder_removed_is_taken_anew(tmp_path: Path) -> None:
    got, enough = threading.Event(), threading.Event()

    def take() -> None:
        with atomic.locked(tmp_path / "lock"):
            got.set()
            enough.wait()

    thread = threading.Thread(target=take)
    with atomic.locked(tmp_path / "lock"):
        thread.start()
        assert not got.wait(0.1)
        (tmp_path / "lock").unlink()
    assert got.wait(30)
    with pytest.raises(BlockingIOError), atomic.locked(tmp_path / "lock", wait=False):
        pass
    enough.set()
    thread.join()
