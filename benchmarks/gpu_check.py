"""`make gpu-check`: every op's gpu backend against its reference, what the GPU can do, peers (docs/gpu.md)."""

from __future__ import annotations

import argparse
import datetime
import faulthandler
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from headrace.benchmarks.gpu.limits import Deadline
    from headrace.benchmarks.gpu.site import Check, Part, Site
    from headrace.benchmarks.harness.case import Case, Provider
    from headrace.benchmarks.harness.results import Results, Row
    from headrace.benchmarks.harness.runner import Options

SECONDS = 480.0
#: Of the whole time, what the checks may take at most; one check, one case.
CHECKS_SHARE, CHECK_SECONDS, CASE_SECONDS = 0.5, 60.0, 100.0
#: Beyond the deadline, for a part that does not come back to Python.
GRACE = 20.0


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 1 when a check failed or one of our answers was wrong, else 0."""
    parser = argparse.ArgumentParser(prog="gpu-check", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder of the results file")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes on the CPU, in Triton's interpreter")
    parser.add_argument("--resume", type=Path, help="a results file: go on after what is in it")
    options = parser.parse_args(arguments)
    if options.dry_run:
        os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported
    from headrace.benchmarks.gpu.limits import Deadline
    from headrace.benchmarks.gpu.site import parts

    asked = parts()
    if not options.dry_run and not torch.cuda.is_available():
        ops = ", ".join(op for part in asked for op in part.ops)
        count = sum(len(part.checks) for part in asked)
        print(
            f"gpu-check: torch sees no GPU; on one, {count} checks, the ceilings and the benchmarks of {ops} would run"
        )
        return 0
    seconds = float(os.environ.get("GPU_CHECK_SECONDS") or SECONDS)
    faulthandler.dump_traceback_later(seconds + GRACE, exit=True)
    try:
        return run(asked, _site(options.dry_run), options.out, Deadline.after(seconds), options.resume)
    finally:
        faulthandler.cancel_dump_traceback_later()


def run(asked: Sequence[Part], site: Site, out: Path, deadline: Deadline, resume: Path | None = None) -> int:
    """All of it in order, the results file written anew after every part."""
    from headrace.benchmarks.gpu import machine, show
    from headrace.benchmarks.harness.results import Results

    results = Results.load(resume) if resume else Results(machine.facts(site.device))
    path = resume or out / _file_name(results, site)
    if not resume:
        show.print_table([(name, str(value)) for name, value in results.machine.items()])
        results.save(path)
    limit = deadline.share(CHECKS_SHARE)
    known = _known(results)
    for check in (check for part in asked for check in part.checks if (check.op, check.name) not in known):
        _check(check, site, results, limit)
        _keep(results, path, site, deadline)
    if not results.ceilings and ("ceilings", "all") not in known:
        _ceilings(site, results, deadline)
        _keep(results, path, site, deadline)
    for place, part in enumerate(asked):
        share = part.weight / sum(other.weight for other in asked[place:])
        rows = _bench(part, site, results, deadline.share(share), path, deadline)
        show.print_rows(rows)
    failed = [f"{check['op']}: {check['name']}" for check in results.checks if not check["passed"]]
    failed += [f"{row.op}: {row.case}" for row in results.rows if row.kind == "headrace" and row.error]
    for entry in results.skipped:
        print(f"skipped: {entry['op']}, {entry['case']}, {entry['provider']}: {entry['why']}")
    print(f"{len(results.checks)} checks, {len(results.rows)} rows, {len(results.skipped)} skipped: {path}")
    print(f"FAILED: {'; '.join(failed)}" if failed else "all passed")
    return 1 if failed else 0


def _site(dry_run: bool) -> Site:
    from headrace.benchmarks.gpu.site import Site, here

    return Site(torch.device("cpu"), True, 2.0**28) if dry_run else here()


def _file_name(results: Results, site: Site) -> str:
    name = "dry run" if site.small else results.machine["gpu"]
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return f"{datetime.date.today().isoformat()}-gpu-{slug}.json"


def _known(results: Results) -> set[tuple[str, str]]:
    """The checks, cases and ceilings that a results file tells of, as op and name."""
    told = {(check["op"], check["name"]) for check in results.checks}
    told |= {(entry["op"], entry["case"]) for entry in results.skipped if entry["provider"] in ("gpu", "all")}
    return told | {(row.op, row.case) for row in results.rows}


def _keep(results: Results, path: Path, site: Site, deadline: Deadline) -> None:
    """Writes the file; a process whose GPU is lost to it, as after a bad address, gives way to a new one."""
    results.save(path)
    if _lost(site):
        print("the GPU is lost to this process: going on in a new one", flush=True)
        os.environ["GPU_CHECK_SECONDS"] = str(max(deadline.left, 1.0))
        module = ["-m", "headrace.benchmarks.gpu_check", "--out", str(path.parent), "--resume", str(path)]
        os.execv(sys.executable, [sys.executable, *module])


def _lost(site: Site) -> bool:
    if site.small:
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def _check(check: Check, site: Site, results: Results, limit: Deadline) -> None:
    from headrace.benchmarks.gpu.limits import OutOfTime, time_limit

    if limit.left <= 0:
        _skip(results, check.op, check.name, "gpu", "no time left for checks")
        return
    start = time.monotonic()
    passed = False
    try:
        with time_limit(min(CHECK_SECONDS, limit.left)):
            message = check.run(site)
            if site.device.type == "cuda":
                torch.cuda.synchronize()
        passed = True
    except OutOfTime as error:
        _skip(results, check.op, check.name, "gpu", str(error))
        return
    except Exception as error:  # whatever a kernel raises is its result
        message = f"{type(error).__name__}: {error}"
    _told(results, check.op, check.name, passed, message, time.monotonic() - start)


def _told(results: Results, op: str, name: str, passed: bool, message: str, seconds: float) -> None:
    results.checks.append({"op": op, "name": name, "passed": passed, "message": message, "seconds": round(seconds, 2)})
    print(f"{'ok  ' if passed else 'FAIL'}  {op}, {name}: {message} ({seconds:.1f} s)", flush=True)


def _ceilings(site: Site, results: Results, deadline: Deadline) -> None:
    from headrace.benchmarks.gpu import show
    from headrace.benchmarks.gpu.limits import OutOfTime, time_limit
    from headrace.benchmarks.harness import ceilings_gpu, provenance

    try:
        with time_limit(max(deadline.left * CHECKS_SHARE, 1.0)):
            if site.small:
                found = ceilings_gpu.measure(site.device, 0.001, 1 << 16, 32)
            else:
                found = ceilings_gpu.measure(site.device)
    except (OutOfTime, RuntimeError) as error:
        _skip(results, "ceilings", "all", "torch", f"{type(error).__name__}: {error}")
        return
    # The ceilings of a dry run are held against rows of the CPU.
    threads = provenance.stamp()["threads"] if site.small else 0
    results.ceilings.extend(replace(ceiling, threads=threads) for ceiling in found)
    show.print_ceilings(results.ceilings)


def _bench(part: Part, site: Site, results: Results, share: Deadline, path: Path, deadline: Deadline) -> list[Row]:
    """The rows of a part's cases, each run unless the file tells of it already. share: when the part must be done."""
    from headrace.benchmarks.harness import runner

    bench = part.bench(site)
    options = runner.Options(device=site.where)
    known = _known(results)
    for case in bench.cases:
        if (case.op, case.name) not in known:
            _case(case, runner.providers_for(bench, case, options, results), site, results, options, share)
            _keep(results, path, site, deadline)
            if not site.small:
                torch.cuda.empty_cache()
    return [row for row in results.rows if row.op in {case.op for case in bench.cases}]


def _case(
    case: Case, providers: list[Provider], site: Site, results: Results, options: Options, deadline: Deadline
) -> None:
    from headrace.benchmarks.gpu.limits import OutOfTime, time_limit
    from headrace.benchmarks.harness import clock, runner

    budget = clock.Budget(0.01, 2, 3) if site.small else clock.QUICK
    ours = [provider for provider in providers if provider.kind != "peer"]
    # A peer that takes all the time must not take our row too.
    for asked, seconds in ((providers, min(CASE_SECONDS, deadline.left * 0.75)), (ours, deadline.left)):
        if seconds <= 0:
            _skip(results, case.op, case.name, "all", "no time left")
            return
        try:
            with time_limit(seconds):
                rows = runner.run_case(case, asked, options, results.ceilings, budget)
        except OutOfTime as error:
            _skip(results, case.op, case.name, "peers" if asked is providers else "all", str(error))
            continue
        except RuntimeError as error:  # memory, above all
            message = f"{type(error).__name__}: {error}"
            if _lost(site):
                _told(results, case.op, case.name, False, message, 0.0)
            else:
                _skip(results, case.op, case.name, "all", message)
            return
        results.rows += rows
        return


def _skip(results: Results, op: str, case: str, provider: str, why: str) -> None:
    results.skipped.append({"op": op, "case": case, "provider": provider, "why": why})
    print(f"skipped  {op}, {case}: {why}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
