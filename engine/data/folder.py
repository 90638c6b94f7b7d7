"""Files of a folder that belong together, replaced as one: a reader meets all of the old or all of the new.

New files are gathered in `.headrace-next`, which appears whole; from then on they count, and are moved to their places.
Whoever comes next ends a move that was cut off.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar, cast

from headrace.kernels import atomic

_NEXT, _LOCK = ".headrace-next", ".headrace-lock"
_P = ParamSpec("_P")
_T = TypeVar("_T")


def replace_files(folder: Path, names: Sequence[str], write: Callable[[Path], None]) -> None:
    """Replaces the files `names` of `folder` (made if need be) by those that `write` puts into the folder it is given;
    those that it does not write are removed. Raises OSError; all the old files are there then."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        with atomic.replace(folder / _NEXT) as part:
            part.mkdir()
            write(part)
            for name in names:
                # An empty file stands for none, so that what is gathered is the whole truth.
                (part / name).touch()
            held.enter_context(atomic.locked(folder / _LOCK))
            _move(folder)
        _move(folder)


def settle(folder: Path) -> None:
    """Ends a replacement that was cut off, if there is one. Raises OSError where `folder` cannot be written then."""
    if (folder / _NEXT).exists():
        with atomic.locked(folder / _LOCK):
            _move(folder)


def of_one_replacement(
    names: Sequence[str],
) -> Callable[[Callable[Concatenate[str | Path, _P], _T]], Callable[Concatenate[str | Path, _P], _T]]:
    """Makes a reader of such files read again where they were replaced on the way."""

    def made(read: Callable[Concatenate[str | Path, _P], _T]) -> Callable[Concatenate[str | Path, _P], _T]:
        @functools.wraps(read)
        def reading(folder: str | Path, *args: _P.args, **kwargs: _P.kwargs) -> _T:
            while True:
                settle(Path(folder))
                before = _identities(Path(folder), names)
                try:
                    found = read(folder, *args, **kwargs)
                except Exception:
                    if _identities(Path(folder), names) == before:
                        raise
                else:
                    if _identities(Path(folder), names) == before:
                        return found

        return cast(Callable[Concatenate[str | Path, _P], _T], reading)

    return made


def _move(folder: Path) -> None:
    """Under the lock. Cut off anywhere, it can be done again."""
    gathered = folder / _NEXT
    if not gathered.exists():
        return
    for path in gathered.iterdir():
        if path.stat().st_size:
            os.replace(path, folder / path.name)
        else:
            (folder / path.name).unlink(missing_ok=True)
            path.unlink()
    atomic.sync(folder)
    gathered.rmdir()


def _identities(folder: Path, names: Sequence[str]) -> list[tuple[int, int, int] | None]:
    """What tells each file from another of its name; None where there is none."""
    found: list[tuple[int, int, int] | None] = []
    for name in names:
        try:
            stat = (folder / name).stat()
            found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
        except OSError:
            found.append(None)
    return found
