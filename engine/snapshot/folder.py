"""What lies in a snapshot's folder beside the versions' files: who may write there, and what is removed."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from headrace.kernels import atomic

CURRENT, LOCK, MANIFEST = "CURRENT", "LOCK", "manifest.json"
_VERSION = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}")
_WORK = re.compile(r"work-[0-9a-f]{16}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
#: CURRENT is a short line; of a foreign file no more is read.
_LONGEST = 1024


class SnapshotError(ValueError):
    """A snapshot that cannot be used; the message names the file and the reason."""


class InUse(NamedTuple):
    """What CURRENT says: the name of a version, and the SHA-256 of its manifest."""

    version: str
    digest: str


def check_folder(folder: str | Path) -> None:
    """Raises SnapshotError where `folder` holds something and is no snapshot's: nothing may be written there."""
    root = Path(folder)
    if not root.exists():
        return
    if not root.is_dir():
        raise SnapshotError(f"{root}: expected a folder, got a file")
    names = sorted(path.name for path in root.iterdir())
    versions = [name for name in names if _VERSION.fullmatch(name)]
    with contextlib.suppress(SnapshotError):
        current(root)
        return
    # Before the first version is in use, and where CURRENT is damaged, all of it must be ours.
    ours = {LOCK, CURRENT} if versions else {LOCK}
    foreign = [name for name in names if name not in ours and not _is_ours(name)]
    if foreign:
        few = ", ".join(foreign[:3]) + (f" and {len(foreign) - 3} more" if len(foreign) > 3 else "")
        raise SnapshotError(f"{root}: expected a snapshot's folder, an empty one or none yet, got one with {few}")


def current(root: Path) -> InUse:
    """The version in use. Raises SnapshotError where CURRENT is missing or says something else."""
    path = root / CURRENT
    try:
        with open(path, "rb") as file:
            words = file.read(_LONGEST).decode(errors="replace").split()
    except FileNotFoundError:
        raise SnapshotError(f"{path}: missing; not a snapshot, or its writing never ended") from None
    except (IsADirectoryError, NotADirectoryError):
        raise SnapshotError(f"{path}: expected a file in a folder") from None
    if len(words) != 2 or not _VERSION.fullmatch(words[0]) or not _DIGEST.fullmatch(words[1]):
        raise SnapshotError(f"{path}: expected the name of a version folder and a checksum, got {words!r}")
    return InUse(*words)


def new_version() -> str:
    """A name that no version has."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:8]}"


def make_current(root: Path, version: InUse) -> None:
    """Puts a whole version into use, and removes those that neither were nor are. The lock of `root` must be held."""
    before = None
    with contextlib.suppress(SnapshotError):
        before = current(root).version
    with atomic.replace(root / CURRENT) as part:
        part.write_text(f"{version.version} {version.digest}\n")
    if before is None:
        # Nobody knows which version was in use: all stay until the next one comes.
        return
    for path in root.iterdir():
        ours = _VERSION.fullmatch(path.name) and not path.is_symlink()
        if ours and path.name not in (version.version, before):
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def work_folder(folder: str | Path, job: str) -> Iterator[Path]:
    """A folder for what a build keeps in a snapshot's folder until it ends; `job` is 16 hex digits that stand for it.

    It is there again for the same job when the block raised, unless nothing was put in. When the block ends, it is
    removed, and so are those of other jobs that nobody works at. Raises SnapshotError as `check_folder` does, and while
    somebody else works at the same job.
    """
    check_folder(folder)
    root, work = Path(folder), Path(folder) / f"work-{job}"
    if not _WORK.fullmatch(work.name):
        raise ValueError(f"job: expected 16 hex digits, got {job!r}")
    new = not root.exists()
    root.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        with atomic.locked(root / LOCK):
            work.mkdir(exist_ok=True)
            try:
                held.enter_context(atomic.locked(work / LOCK, wait=False))
            except BlockingIOError:
                raise SnapshotError(f"{root}: expected no other build of the same job, got one at work") from None
        try:
            yield work
        except BaseException:
            _remove_empty(root, work, new)
            raise
        held.close()
        with atomic.locked(root / LOCK):
            for path in root.iterdir():
                if _WORK.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
                    with contextlib.suppress(OSError), atomic.locked(path / LOCK, wait=False):
                        shutil.rmtree(path, ignore_errors=True)


def _remove_empty(root: Path, work: Path, new: bool) -> None:
    """What failed before it kept anything leaves nothing behind."""
    with contextlib.suppress(OSError), atomic.locked(root / LOCK):
        if [path.name for path in work.iterdir()] == [LOCK]:
            shutil.rmtree(work)
        if new and [path.name for path in root.iterdir()] == [LOCK]:
            shutil.rmtree(root)


def _is_ours(name: str) -> bool:
    return bool(_VERSION.fullmatch(name) or _WORK.fullmatch(name) or atomic.is_part(name))
