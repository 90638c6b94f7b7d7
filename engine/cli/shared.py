"""What every command shares: errors in one line, and a progress bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from headrace.console import errors, tell_error

SettingsFile = Annotated[Path | None, typer.Option("--settings", help="A TOML file of settings; see docs/settings.md.")]

OverlayFile = Annotated[
    Path | None,
    typer.Option("--overlay", help="A TOML file of settings to use instead of the snapshot's; see docs/settings.md."),
]

Users = Annotated[
    str | None, typer.Option(help="User ids separated by commas, - for standard input, or @FILE with one a line.")
]
OneUser = Annotated[list[str] | None, typer.Option(help="One user id, taken as it stands; may be given many times.")]


def user_words(users: str | None, user: list[str] | None) -> list[str] | None:
    """The ids that --users and --user name, as text; None where neither is given."""
    if users is None:
        return user or None
    if users == "-":
        return [*(user or []), *sys.stdin.read().split()]
    text = Path(users[1:]).read_text(encoding="utf-8") if users.startswith("@") else users.replace(",", "\n")
    return [*(user or []), *(word.strip() for word in text.splitlines() if word.strip())]


@contextmanager
def friendly() -> Iterator[None]:
    """What a user can mend is printed in one line; anything else is a defect and keeps its traceback."""
    try:
        yield
    except BrokenPipeError as error:
        # Who read has seen enough; what is left is thrown away, or Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from error
    except (ValueError, TypeError, OSError, ImportError) as error:
        tell_error(_words(error))
        raise typer.Exit(2) from error


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def progress_bar() -> Progress:
    """A bar for each long piece of work, on standard error."""
    return Progress(
        TextColumn("{task.description:<24}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=errors,
    )
