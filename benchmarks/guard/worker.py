"""Answers one question a line about one revision: which cases it has, how long a round of one takes.

Run as a script, `python worker.py FOLDER THREADS`, FOLDER holding the package `headrace` to measure. The script is the
same for both revisions; the cases, their checks and the kernels are each revision's own. Questions and answers are JSON
lines on standard input and output.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


class OneFolder:
    """Finds `headrace` in one folder, whatever else is installed, editable or not."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] != "headrace":
            return None
        found = PathFinder.find_spec(name, [self._folder] if name == "headrace" else path)
        if found is None:  # nor may anyone else find it
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return found


class Worker:
    """One case is open at a time."""

    def __init__(self, threads: int) -> None:
        from headrace.benchmarks.harness import keep, provenance, runner
        from headrace.benchmarks.harness.threads import pin

        self._pin = pin
        self._threads = threads
        self._provenance = provenance
        self._keep = keep
        self._op = ""
        self._cases = {
            (case.op, case.name, provider.name): (case, provider)
            for bench in runner.benches()
            for case in bench.cases
            for provider in bench.providers
            if provider.kind == "headrace" and provider.device == "cpu" and provider.serves(case)
        }
        self._call: Callable[[], Any] | None = None

    def cases(self, suite: str) -> dict[str, Any]:
        """What it can measure, and the facts that its rows carry."""
        self._pin(self._threads)
        found = [
            {
                **{"op": case.op, "case": case.name, "provider": provider.name, "params": case.params},
                **{"axis": case.axis, "suite": suite, "work": vars(case.work) if case.work else None},
            }
            for case, provider in self._cases.values()
            if suite in case.suites and not provider.missing()
        ]
        return {"cases": found, "stamp": self._provenance.stamp(), "machine": self._provenance.facts()}

    def open(self, op: str, case: str, provider: str) -> dict[str, Any]:
        """Prepares a case and checks the answer. A wrong one raises and is never timed."""
        self._call = None  # lets go of the case before
        if op != self._op:
            self._keep.forget()
        self._op = op
        gc.collect()
        which, by = self._cases[op, case, provider]
        inputs = which.inputs()
        threads = which.threads(self._threads)
        self._pin(threads)
        call = by.prepare(inputs, which)
        self._pin(threads)  # libraries that `prepare` loaded
        checked = which.judge(by.kind, inputs, call())
        self._call = call
        seconds = min(self._seconds(1), self._seconds(1))
        return {"checked": checked, "seconds": seconds, "stamp": self._provenance.stamp()}

    def round(self, inner: int, warm: bool) -> dict[str, Any]:
        """Milliseconds of one of `inner` calls. warm: one call before; the other process has just had the caches."""
        gc.disable()
        try:
            if warm:
                self._seconds(1)
            return {"ms": self._seconds(inner) * 1e3}
        finally:
            gc.enable()

    def count(self) -> dict[str, Any]:
        """Instructions of one call on one thread, the fewest of three. The last question about a case."""
        from headrace.benchmarks.guard.counter import instructions

        assert self._call is not None
        self._pin(1)
        self._call()
        return {"instructions": min(instructions(self._call) for _ in range(3))}

    def _seconds(self, times: int) -> float:
        assert self._call is not None
        call = self._call
        start = time.perf_counter()
        for _ in range(times):
            call()
        return (time.perf_counter() - start) / times


def start(threads: int) -> Worker:
    import headrace.kernels  # noqa: F401 - what fails here is no matter of the benchmarks

    try:
        return Worker(threads)
    except (ImportError, AttributeError) as error:
        raise RuntimeError(
            f"its benchmarks are not of the kind that the guard runs ({error}); choose a later base"
        ) from error


def main() -> None:
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not look like an answer
    del sys.path[0]  # this script's own folder
    sys.meta_path.insert(0, OneFolder(sys.argv[1]))
    worker: Worker | None = None
    for line in sys.stdin:
        question = json.loads(line)
        try:
            worker = worker or start(int(sys.argv[2]))
            answer = getattr(worker, question.pop("do"))(**question)
        except Exception as error:  # whatever a kernel raises is its result
            kind = "wrong answer" if type(error).__name__ == "Wrong" else type(error).__name__
            answer = {"failed": f"{kind}: {error}"}
        replies.write(json.dumps(answer) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
