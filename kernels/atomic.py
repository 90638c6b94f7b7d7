"""Files and folders that appear whole or not at all, and locks that die with their holder.

What is being written lies in a part folder beside its place, `.headrace-part-<16 hex digits>`, which its writer holds
a lock in. The next writer in the same folder removes the parts whose writers died.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PART = re.compile(r"\.headrace-part-[0-9a-f]{16}")
_LOCK = "lock"


@contextmanager
def replace(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A place to write a file or a folder, which becomes `path` when the block ends, and is gone when it raises.

    The place has the name of `path`, in a folder of its own beside it; nothing is there yet. On the way all of it is
    brought to the disk, and its files get the mode that the umask gives. A file replaces a file or a link, a folder
    an empty folder; where nothing was written nothing changes. Readers meet the old or the new, whenever they look and
    whatever dies.

    Raises OSError naming `path`, also for errors of the block about what it was writing.
    """
    target = Path(path)
    if target.name in ("", ".."):
        raise _about(IsADirectoryError(errno.EISDIR, ""), target)
    try:
        part, lock = _claimed(target.parent)
    except OSError as error:
        raise _about(error, target) from error
    try:
        yield part / target.name
        if (part / target.name).exists():
            _settle(part / target.name, stat.S_IMODE(os.fstat(lock).st_mode))
            os.replace(part / target.name, target)
            sync(target.parent)
    except OSError as error:
        if error.filename is None or Path(os.fsdecode(error.filename)).is_relative_to(part):
            raise _about(error, target) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            _remove(part)
        os.close(lock)


@contextmanager
def locked(path: str | os.PathLike[str], wait: bool = True) -> Iterator[None]:
    """Holds the lock that the file `path` stands for, made if need be.

    wait: until no other thread or process holds it. The system frees it when its holder dies; the file stays.
    Raises OSError where the file cannot be made, BlockingIOError where it is held and must not be waited for.
    """
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            # Else its holder removed it meanwhile, and others hold another file.
            if os.fstat(lock).st_nlink:
                yield
                return
        finally:
            os.close(lock)


def is_part(name: str) -> bool:
    """Whether a file name is that of a part folder."""
    return _PART.fullmatch(name) is not None


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Removes the parts in `folder` whose writers died; what cannot be removed stays."""
    for entry in list(os.scandir(folder)):
        if is_part(entry.name) and entry.is_dir(follow_symlinks=False):
            with contextlib.suppress(OSError):
                _remove_dead(Path(entry))


def sync(folder: str | os.PathLike[str]) -> None:
    """Brings a file, or the names in a folder, to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _claimed(folder: Path) -> tuple[Path, int]:
    """A new part folder, and the descriptor of its lock, which is held."""
    remove_leftovers(folder)
    while True:
        part = folder / f".headrace-part-{secrets.token_hex(8)}"
        part.mkdir()
        try:
            lock = os.open(part / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        # Another writer took the folder for a leftover, before or after it had a lock.
        except FileNotFoundError:
            continue
        except OSError:
            part.rmdir()
            raise
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            return part, lock
        os.close(lock)


def _remove_dead(part: Path) -> None:
    try:
        lock = os.open(part / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        part.rmdir()
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(part)
    finally:
        os.close(lock)


def _remove(part: Path) -> None:
    """The lock goes last, so that whoever dies on the way leaves a part that can be told."""
    for path in part.iterdir():
        if path.name != _LOCK:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    (part / _LOCK).unlink(missing_ok=True)
    part.rmdir()


def _settle(path: Path, mode: int) -> None:
    """Files get the mode and everything is brought to the disk, the folders last."""
    if not path.is_dir():
        path.chmod(mode)
    else:
        for inner in path.iterdir():
            _settle(inner, mode)
    sync(path)


def _about(error: OSError, target: Path) -> OSError:
    """The error, of its own type, about the file that was asked for."""
    if error.errno is None:
        return OSError(f"{target}: could not be written: {error}")
    return OSError(error.errno, os.strerror(error.errno), str(target))
