"""The one way to the terminal: text is shown as it is, whoever wrote it."""

from __future__ import annotations

import os
import unicodedata

from rich.console import Console
from rich.text import Text

_PIPED = 1000


def terminal(stderr: bool = False) -> Console:
    """Standard output, or standard error: brackets are no markup, words between colons no pictures."""
    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    # What is piped has no width of its own; a table there is as wide as it is.
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPED
    return console


#: Standard error.
errors = terminal(stderr=True)


def say(text: str) -> None:
    """A line of standard output, never broken."""
    terminal().print(Text(visible(text)), soft_wrap=True)


def tell(text: str) -> None:
    """A line of standard error, never broken."""
    errors.print(Text(visible(text)), soft_wrap=True)


def tell_error(text: str) -> None:
    """As `tell`, after "error:" in red."""
    errors.print(Text.assemble(("error:", "bold red"), " ", visible(text)), soft_wrap=True)


def visible(text: str) -> str:
    """The text with whatever would move the cursor, or is no character, written out: names come from files."""
    return "".join(
        repr(one)[1:-1] if one not in "\n\t" and unicodedata.category(one) in ("Cc", "Cs") else one for one in text
    )
