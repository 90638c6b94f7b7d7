"""Runs cases: each provider's answer is checked first, then all that were right are timed in turns."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

import headrace.benchmarks
from headrace.benchmarks.harness import ceilings, provenance
from headrace.benchmarks.harness.case import Bench, Call, Case, Near, Provider, Wrong
from headrace.benchmarks.harness.ceilings import Ceiling
from headrace.benchmarks.harness.clock import FULL, QUICK, Budget, Timing, interleave, nothing
from headrace.benchmarks.harness.keep import forget
from headrace.benchmarks.harness.results import Results, Row, summary
from headrace.benchmarks.harness.threads import cores, pin
from headrace.kernels import settings

if TYPE_CHECKING:
    from rich.progress import Progress

Suite = Literal["quick", "full"]
Peers = Literal["all", "installed", "none"]


@dataclass(frozen=True)
class Options:
    """What to run. ops: all where empty. cases: parts of their names, all where empty. threads: 0 for the cores of this
    process. isa: None for the best here. peers: "all" insists that every peer is installed."""

    suite: Suite = "quick"
    ops: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    threads: int = 0
    isa: str | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    peers: Peers = "installed"


def benches(device: str = "cpu") -> list[Bench]:
    """Every op that has a module bench_<op>, by name; for "cuda" those of benchmarks/gpu."""
    if device == "cuda":
        from headrace.benchmarks.gpu.site import here, parts

        return [part.bench(here()) for part in parts()]
    names = [module.name for module in pkgutil.iter_modules(headrace.benchmarks.__path__)]
    found = [importlib.import_module(f"headrace.benchmarks.{n}") for n in sorted(names) if n.startswith("bench_")]
    return [module.BENCH for module in found]


def run(options: Options, progress: Progress | None = None, chosen: Sequence[Bench] | None = None) -> Results:
    """Measures the ceilings, then every case that `options` names.

    Raises ValueError for an unknown op, a case that none has, an instruction set or a thread count that this machine
    cannot run, and ImportError for peers that are asked for and missing.
    """
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: torch sees no CUDA device")
    chosen = _named(benches(options.device) if chosen is None else chosen, options)
    cases = [(bench, case) for bench in chosen for case in bench.cases if _wanted(case, options)]
    if not cases:
        raise ValueError(
            f"case: no case of suite {options.suite} has {' or '.join(map(repr, options.cases))} in its name"
        )
    if options.peers == "all":
        _insist(chosen)
    level = options.isa or settings.get_isa()
    with settings.isa(level):
        pin(options.threads)
        results = Results(provenance.facts())
        _step(progress, "ceilings", 1, lambda: results.ceilings.extend(_limits([case for _, case in cases], options)))
        task = progress.add_task("cases", total=len(cases)) if progress else None
        op = ""
        for bench, case in cases:
            if op != case.op:
                forget()
            op = case.op
            if progress and task is not None:
                progress.update(task, description=f"{case.op}: {case.name}"[:40])
            results.rows += run_case(case, providers_for(bench, case, options, results), options, results.ceilings)
            if progress and task is not None:
                progress.advance(task)
        forget()
    return results


def _limits(cases: Sequence[Case], options: Options) -> list[Ceiling]:
    if options.device == "cuda":
        from headrace.benchmarks.harness import ceilings_gpu

        return ceilings_gpu.measure()
    return ceilings.measure(sorted({1, *(case.threads(settings.get_threads()) for case in cases)}))


def run_case(
    case: Case,
    providers: Iterable[Provider],
    options: Options,
    limits: Sequence[Ceiling] = (),
    budget: Budget | None = None,
) -> list[Row]:
    """One row for each provider; a wrong answer, or a provider that raises, has an error and no time.

    budget: None for that of the suite.
    """
    inputs = case.inputs()
    threads = case.threads(options.threads)
    calls: dict[str, Call] = {}
    told: dict[str, tuple[str, str | None]] = {}
    asked = list(providers)
    for provider in asked:
        try:
            pin(threads)
            call = provider.prepare(inputs, case)
            pin(threads)  # libraries that `prepare` loaded
            told[provider.name] = (case.judge(provider.kind, inputs, call()), None)
            calls[provider.name] = call
        except Wrong as error:
            told[provider.name] = ("wrong", f"wrong answer: {error}")
        except Exception as error:  # whatever a peer raises is its result
            told[provider.name] = ("failed", f"{type(error).__name__}: {error}")
    wait = torch.cuda.synchronize if options.device == "cuda" else nothing
    timings = interleave(calls, budget or (QUICK if options.suite == "quick" else FULL), wait=wait)
    measured: dict[str, dict[str, float]] = {}
    for provider in asked:
        if provider.measure and provider.name in timings:
            try:
                measured[provider.name] = provider.measure(inputs, case, calls[provider.name], timings[provider.name])
            except Exception as error:
                told[provider.name] = ("failed", f"{type(error).__name__}: {error}")
                del timings[provider.name]
    stamp = provenance.stamp(options.device)
    return [
        _row(case, p, *told[p.name], timings.get(p.name), measured.get(p.name, {}), options, limits, stamp)
        for p in asked
    ]


def _row(
    case: Case,
    provider: Provider,
    checked: str,
    error: str | None,
    timing: Timing | None,
    metrics: dict[str, float],
    options: Options,
    limits: Sequence[Ceiling],
    stamp: dict[str, Any],
) -> Row:
    row: dict[str, Any] = {"checked": str(checked), "error": error, "metrics": metrics}
    if isinstance(checked, Near):
        row["metrics"] = {"share right": checked.share, **metrics}
    work = provider.work(case) if provider.work else case.work
    if work is not None:
        row.update(flops=work.flops, bytes=work.bytes, dtype=work.dtype, random=work.random)
    if timing is not None:
        row.update(summary(timing.rounds), inner=timing.inner)
        if work is not None and limits:
            name, seconds = ceilings.limit(work, limits, stamp["threads"])
            row.update(limit=name, fraction=float(f"{seconds * 1e3 / row['median']:.3g}"))
    return Row(
        op=case.op,
        case=case.name,
        params=case.params,
        provider=provider.name,
        kind=provider.kind,
        suite=options.suite,
        axis=case.axis,
        **stamp,
        **row,
    )


def _named(chosen: Sequence[Bench], options: Options) -> list[Bench]:
    known = {bench.op for bench in chosen}
    for op in options.ops:
        if op not in known:
            raise ValueError(f"op: expected one of {', '.join(sorted(known))}, got {op!r}")
    return [bench for bench in chosen if not options.ops or bench.op in options.ops]


def _wanted(case: Case, options: Options) -> bool:
    """Whether the case is asked for and needs no more threads than there are."""
    enough = case.threads(0) <= (options.threads or cores())
    named = not options.cases or any(part.lower() in case.name.lower() for part in options.cases)
    return enough and options.suite in case.suites and named


def _insist(chosen: Sequence[Bench]) -> None:
    missing = sorted({line for bench in chosen for provider in bench.providers for line in provider.missing()})
    if missing:
        raise ImportError(f"peers: {'; '.join(missing)}. `make bench-peers` installs them")


def providers_for(bench: Bench, case: Case, options: Options, results: Results) -> list[Provider]:
    """Those that answer this case; the others are noted as skipped, with the reason."""
    found = []
    for provider in bench.providers:
        if provider.device != options.device or (options.peers == "none" and provider.kind == "peer"):
            continue
        missing = provider.missing()
        reason = "; ".join(missing) or provider.why
        if missing or not provider.serves(case):
            results.skipped.append(
                {"op": case.op, "case": case.name, "provider": provider.name, "why": reason or "does not serve it"}
            )
        else:
            found.append(provider)
    return found


def _step(progress: Progress | None, label: str, total: int, work: Callable[[], object]) -> None:
    task = progress.add_task(label, total=total) if progress else None
    work()
    if progress and task is not None:
        progress.advance(task, total)
