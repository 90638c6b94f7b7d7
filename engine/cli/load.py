"""The load generator: `headrace load`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.shared import OneUser, OverlayFile, Users, friendly, progress_bar, user_words
from headrace.console import say, tell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headrace.loadtest import EngineTarget, HttpTarget, LoadReport, Plan

#: Users that an endpoint is asked for where none are given.
_USERS = 1000
_LOADS = "10,20,30,40,50,60,70,80,90,100,110"
_QUICK_LOADS = "25,50,75,90,110"


def load(
    snapshot: Annotated[Path | None, typer.Option(help="A snapshot folder; a small synthetic one without.")] = None,
    url: Annotated[
        str | None, typer.Option(help="An HTTP endpoint of this machine instead; {user} and {users} are filled in.")
    ] = None,
    body: Annotated[
        str | None, typer.Option(help="JSON to POST to --url; {user} is one id, {users} a list of a call's ids.")
    ] = None,
    users: Users = None,
    user: OneUser = None,
    k: Annotated[int | None, typer.Option("-k", "--k", min=1, help="Items a page (in process).")] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Users a call: 16 in process, 1 over HTTP where not given.")
    ] = None,
    micro: Annotated[
        bool, typer.Option(help="Batches gather what is due, up to --batch; otherwise they arrive whole.")
    ] = True,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Calls at once: 1 in process, 8 over HTTP where not given.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Kernel threads; all usable cores where not given.")
    ] = None,
    slo_ms: Annotated[float, typer.Option(help="The limit on p99 of the capacity sentence.")] = 50.0,
    loads: Annotated[str | None, typer.Option(help=f"Offered loads, percent of capacity [default: {_LOADS}]")] = None,
    seconds: Annotated[float | None, typer.Option(help="Measured in each step [default: 4; 1.5 with --quick]")] = None,
    quick: Annotated[bool, typer.Option(help="Fewer and shorter steps.")] = False,
    seed: int = 0,
    overlay: OverlayFile = None,
    timeout: Annotated[float, typer.Option(help="Seconds that a whole HTTP call may take.")] = 10.0,
    out: Annotated[Path | None, typer.Option(help="Folder for load.html and load.json.")] = None,
) -> None:
    """Put load on an engine or an endpoint: latency against throughput, batch sizes, threads, and the capacity."""
    from headrace.loadtest import Plan, print_load
    from headrace.loadtest import Users as Drawn
    from headrace.loadtest.measure import usable_cores
    from headrace.report import page

    with friendly():
        if out:
            page.environment()  # a missing extra should be told before the work, not after it
        words = user_words(users, user)
        target, ids = (
            _endpoint(url, body, timeout, words, snapshot) if url else _engine(snapshot, overlay, body, words, k, seed)
        )
        threads = threads or usable_cores()
        step = seconds if seconds is not None else 1.5 if quick else 4.0
        plan = Plan(
            batch=batch or (16 if target.in_process else 1),
            gather=micro,
            workers=concurrency or (1 if target.in_process else 8),
            threads=threads,
            seconds=step,
            warm_up=step / 4,
            loads=_shares(loads or (_QUICK_LOADS if quick else _LOADS)),
            batches=_powers(256, 4 if quick else 2) if target.batches else (),
            threads_swept=_powers(usable_cores()) if target.in_process else (),
            workers_swept=() if target.in_process else _powers(64, 4 if quick else 2),
            slo_ms=slo_ms,
            seed=seed,
        )
        report = _measure(target, Drawn(ids, seed), plan)
        print_load(report)
        if out:
            _write(report, out)
    if report.failure:
        raise typer.Exit(1)
    if report.interrupted:
        raise typer.Exit(130)


def _engine(
    snapshot: Path | None, overlay: Path | None, body: str | None, words: list[str] | None, k: int | None, seed: int
) -> tuple[EngineTarget, NDArray[np.generic]]:
    import numpy as np

    from headrace.loadtest import EngineTarget
    from headrace.loadtest.synthetic import synthetic_engine
    from headrace.serving import Engine

    if body is not None:
        raise ValueError("body: expected --url with it, got none")
    if snapshot is None:
        if overlay is not None:
            raise ValueError("overlay: expected --snapshot with it, got none")
        with progress_bar() as progress:
            engine = synthetic_engine(seed, progress)
    else:
        engine = Engine.load(snapshot, overlay=overlay)
    return EngineTarget(engine, k), engine.users.ids if words is None else np.array(engine.parse_ids(words))


def _endpoint(
    url: str, body: str | None, timeout: float, words: list[str] | None, snapshot: Path | None
) -> tuple[HttpTarget, NDArray[np.generic]]:
    import numpy as np

    from headrace.loadtest import HttpTarget

    if snapshot is not None:
        raise ValueError("snapshot: expected either --snapshot or --url, got both")
    if words is None:
        ids: NDArray[np.generic] = np.arange(_USERS)
    else:
        whole = all(word.lstrip("-").isdecimal() for word in words)
        ids = np.array([int(word) for word in words] if whole else words)
    return HttpTarget(url, body, timeout), ids


def _shares(loads: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) / 100 for word in loads.split(","))
    except ValueError as error:
        raise ValueError(f"loads: expected percent separated by commas, got {loads!r}") from error


def _powers(most: int, factor: int = 2) -> tuple[int, ...]:
    """1, `factor`, `factor` squared, ... up to and including `most`."""
    out = [1]
    while out[-1] * factor < most:
        out.append(out[-1] * factor)
    return (*out, most) if most > 1 else (1,)


def _measure(target: EngineTarget | HttpTarget, users: object, plan: Plan) -> LoadReport:
    from headrace.loadtest import Users as Drawn
    from headrace.loadtest import measure

    assert isinstance(users, Drawn)
    tell(f"{plan.steps} steps, about {plan.estimate:.0f} s")
    with progress_bar() as progress:
        task = progress.add_task("load", total=plan.steps)
        begun = -1

        def begin(words: str) -> None:
            nonlocal begun
            begun += 1
            progress.update(task, description=words, completed=begun)

        report = measure(target, users, plan, tell=begin)
        progress.update(task, description="load", completed=len(report.steps))
    return report


def _write(report: LoadReport, out: Path) -> None:
    from headrace.loadtest import write_load

    for path in write_load(report, out / time.strftime("%Y%m%d-%H%M%S")):
        say(f"wrote {path}")
