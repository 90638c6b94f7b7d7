"""The command that shows what re-ranking does to pages: `headrace rerank`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.shared import friendly, progress_bar
from headrace.console import say, tell

if TYPE_CHECKING:
    from rich.progress import Progress

    from headrace.data import Dataset, InteractionLog
    from headrace.evaluation.held_out import HeldOut
    from headrace.report.page import Section
    from headrace.report.reranking import Names
    from headrace.report.sweep import Sweep
    from headrace.serving import Engine

_BATCH = 64


def rerank(
    snapshot: Annotated[
        Path | None, typer.Option(help="A snapshot folder; without one, --log is cut and its first part trained on.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="A log folder: its rows after the snapshot's time are what users wanted.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Pages of --users, before and after, pick by pick.")
    ] = False,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Reward against distance for every method, and for SSD and MSD.")
    ] = False,
    users: Annotated[str | None, typer.Option(help="User ids separated by commas; one is drawn if not given.")] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=2, help="Items a page.")] = 20,
    requests: Annotated[int, typer.Option(min=1, help="Requests of the sweep.")] = 256,
    seed: int = 0,
    out: Annotated[Path, typer.Option(help="Folder for rerank.html.")] = Path("runs/rerank"),
) -> None:
    """Show what re-ranking does: pages before and after, which rules stepped in, and what variety costs.

    Without --users, --explain takes a user whose page the rules change. Tables are printed, and written with their
    drawings to one self-contained page. docs/reranking.md says how to read it.
    """
    from headrace.doctor import machine_record
    from headrace.report import page
    from headrace.report.reranking import rerank_page, sweep_headline, sweep_section
    from headrace.report.terminal import plain_console, print_sections

    with friendly():
        if not explain and not sweep:
            raise ValueError("expected --explain, --sweep or both, got neither")
        if snapshot is None and log is None:
            raise ValueError("expected --snapshot, --log or both, got neither")
        page.environment()  # a missing extra should be told before the work, not after it
        with progress_bar() as progress:
            engine, question, names = _prepare(snapshot, log, requests, seed, out, progress)
            sections, headline = _explained(engine, question, names, users, k) if explain else ([], "")
            if sweep:
                found = _swept(engine, question, k, progress)
                sections.append(sweep_section(found))
                headline = headline or sweep_headline(found)
        print_sections(plain_console(), sections)
        made = rerank_page(headline, engine.funnel.reranker, sections, machine_record())
        path = page.write(made, out / "rerank.html")
        say(f"wrote {path}")


def _prepare(
    snapshot: Path | None, log: Path | None, requests: int, seed: int, out: Path, progress: Progress
) -> tuple[Engine, HeldOut, Names]:
    """The engine, the requests to ask it, and texts for its items."""
    from headrace.build import build
    from headrace.data import read, split_at
    from headrace.demo import split_last_days
    from headrace.evaluation.held_out import held_out
    from headrace.serving import Engine
    from headrace.settings import Settings

    dataset = read(log) if log else None
    if snapshot is None:
        assert dataset is not None
        past, future, _ = split_last_days(dataset.log)
        snapshot = out / "snapshot"
        build(dataset.with_log(past), Settings(seed=seed), snapshot, progress)
        tell(f"kept the trained funnel: --snapshot {snapshot}")
        engine = Engine.load(snapshot)
    else:
        engine = Engine.load(snapshot)
        if dataset is None:
            return engine, _any_users(engine, requests, seed), _names(engine, snapshot)
        past, future = split_at(dataset.log, engine.as_of)
    _check_same(engine, dataset, future)
    question = held_out(past, future, len(dataset.catalogue), requests, seed)
    return engine, question, _names(engine, snapshot)


def _check_same(engine: Engine, dataset: Dataset, future: InteractionLog) -> None:
    import numpy as np

    same = np.array_equal(engine.users.ids, dataset.users.ids.ids) and np.array_equal(
        engine.items.ids, dataset.catalogue.ids.ids
    )
    if not same:
        raise ValueError("log: expected the users and items of the snapshot, got others")
    if len(future) == 0:
        raise ValueError(
            "log: expected rows after the snapshot's time, got none; `headrace demo` keeps the last days out"
        )


def _any_users(engine: Engine, requests: int, seed: int) -> HeldOut:
    """Users drawn at the snapshot's own time; what they wanted is not known."""
    import numpy as np
    import torch

    from headrace.evaluation.held_out import HeldOut

    count = min(requests, len(engine.users))
    rows = np.sort(np.random.default_rng(seed).choice(len(engine.users), count, replace=False))
    nothing = torch.zeros(0, dtype=torch.int64)
    offsets = torch.zeros(count + 1, dtype=torch.int64)
    return HeldOut(engine.requests(rows), offsets, nothing, nothing.double(), np.zeros(len(engine.items), np.int64), 0)


def _names(engine: Engine, snapshot: Path) -> Names:
    from torch import Tensor

    from headrace.report.reranking import Names
    from headrace.snapshot import read_snapshot

    items = read_snapshot(snapshot, verify=False).tables["items"]
    kinds = engine.funnel.reranker.kinds

    def texts(column: str, rows: Tensor) -> list[str]:
        if column in items.column_names:
            found = items[column].take(rows.numpy()).to_pylist()
            return [text or "" for text in found]
        codes = kinds[column][rows].tolist()
        return [f"{column} {code}" if code >= 0 else "" for code in codes]

    return Names(
        lambda rows: [str(one) for one in engine.items.external(rows.numpy()).tolist()],
        lambda rows: texts("category", rows),
        lambda rows: texts("author", rows),
    )


def _explained(engine: Engine, question: HeldOut, names: Names, users: str | None, k: int) -> tuple[list[Section], str]:
    import numpy as np
    import torch

    from headrace.report.reranking import explained_headline, explained_sections
    from headrace.reranking.explain import explain

    funnel = engine.funnel
    if users is not None:
        words = [word.strip() for word in users.split(",") if word.strip()]
        rows = engine.users.rows(engine.parse_ids(words))
        for place in np.flatnonzero(rows < 0).tolist():
            tell(f"user {words[place]} is unknown: popular items")
        asked = engine.requests(rows)
    else:
        first = next(question.batches(_BATCH))
        page = funnel.run(first, k).page
        overruled = page.columns["overruled"][page.offsets[:-1].clamp_max(len(page) - 1)]
        chosen = int(overruled.argmax())
        asked = first.take(torch.tensor([chosen]))
        words = [str(one) for one in engine.users.external(asked.user.numpy()).tolist()]
    told = explain(funnel.reranker, funnel.run(asked, k).ranked, k)
    return explained_sections(words, told, funnel.reranker, names), explained_headline(told, funnel.reranker)


def _swept(engine: Engine, question: HeldOut, k: int, progress: Progress) -> Sweep:
    from headrace.evaluation.sweep import ranked, sweep, wanted_of

    batches = ranked(engine.funnel, list(question.batches(_BATCH)), k)
    wanted = wanted_of(question.offsets, question.items, _BATCH) if len(question.items) else []
    window = engine.funnel.reranker.settings.window
    return sweep(engine.funnel.reranker, batches, k, window, wanted, progress=progress)
