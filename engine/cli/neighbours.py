"""The command that shows what an item is like: `headrace neighbours`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.shared import friendly


def neighbours(
    snapshot: Annotated[Path, typer.Option(help="A snapshot folder.")],
    item: Annotated[str, typer.Option(help="An item's id.")],
    method: Annotated[
        list[str] | None, typer.Option(help="A channel whose neighbours to show, all if not given; may be repeated.")
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="Neighbours of each method.")] = 10,
) -> None:
    """Print an item's neighbours by each method that the snapshot has, with what the catalogue says of them."""
    from headrace.report.neighbours import neighbour_section
    from headrace.report.terminal import plain_console, print_sections
    from headrace.serving import Engine
    from headrace.snapshot import read_snapshot

    with friendly():
        engine = Engine.load(snapshot)
        items = read_snapshot(snapshot, verify=False).tables["items"]
        print_sections(plain_console(), [neighbour_section(engine, items, item, method or [], k)])
