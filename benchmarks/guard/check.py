"""Runs the cases of two revisions in turns and keeps both as results files that `compare` reads."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rich.progress import Progress

from headrace.benchmarks.guard.client import Process, Trouble
from headrace.benchmarks.guard.turns import plan, take
from headrace.benchmarks.harness.compare import paired
from headrace.benchmarks.harness.results import Results, Row, summary

#: Seconds that a worker may take to start and prepare a case; for a round it gets less, or ten times what is due.
PATIENCE = 180.0
ROUND_PATIENCE = 30.0
#: A call shorter than this runs once before each round, untimed: the other process has just had the caches.
WARM_SECONDS = 0.02
#: Fresh pairs of processes in which a difference must show again.
CONFIRMATIONS = 2

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Choice:
    """Which cases. ops: all where empty. case: a part of its name."""

    suite: str = "quick"
    ops: tuple[str, ...] = ()
    case: str = ""


@dataclass
class Outcome:
    """a, b: both revisions' results. counts: instructions of a case in both; no_counts: why there are none."""

    a: Results
    b: Results
    counts: dict[Key, tuple[int, int]] = field(default_factory=dict)
    no_counts: str = ""


@dataclass
class _Pair:
    """One case in both revisions: what was measured so far. A case that one lacks has no facts there."""

    key: Key
    facts: list[dict[str, Any] | None]
    checked: list[str] = field(default_factory=lambda: ["", ""])
    errors: list[str | None] = field(default_factory=lambda: [None, None])
    rounds: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    stamps: list[dict[str, Any]] = field(default_factory=lambda: [{}, {}])
    plan: tuple[int, int] | None = None
    launches: int = 0

    def timed(self) -> bool:
        return self.launches > 0 and self.errors == [None, None]

    def differs(self) -> bool:
        return self.timed() and paired(*self.rounds, self.launches)[2] in ("slower", "faster")


class Guard:
    """Both workers, of which only one works at a time."""

    def __init__(self, a: Process, b: Process) -> None:
        self._workers = (a, b)
        self._counts: dict[Key, tuple[int, int]] = {}
        self._no_counts = ""

    def measure(self, choice: Choice, progress: Progress | None = None) -> Outcome:
        """Every case that both have, in turns; what seems to differ once more, in fresh processes.

        Raises Trouble when a worker cannot list its cases, ValueError when they have none in common.
        """
        listed = [worker.ask(PATIENCE, "cases", suite=choice.suite) for worker in self._workers]
        pairs = _pairs(listed[0]["cases"], listed[1]["cases"], choice)
        common = [pair for pair in pairs if None not in pair.facts]
        if not common:
            raise ValueError("case: the two revisions have no such case in common")
        self._launch(common, "cases in turns", 0, progress)
        for again in range(1, CONFIRMATIONS + 1):
            for worker in self._workers:
                worker.stop()
            self._launch([pair for pair in common if pair.differs()], f"again, {again}", 1000 * again, progress)
        pairing = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        results = []
        for side, answer in enumerate(listed):
            rows = [_row(pair, side, answer["stamp"], pairing) for pair in pairs if pair.facts[side]]
            results.append(Results(answer["machine"], rows=rows))
        return Outcome(results[0], results[1], self._counts, self._no_counts)

    def _launch(self, pairs: list[_Pair], label: str, seed: int, progress: Progress | None) -> None:
        task = progress.add_task(label, total=len(pairs)) if progress and pairs else None
        for place, pair in enumerate(pairs):
            opened = []
            op, case, provider = pair.key
            for side in (0, 1):
                with suppress(Trouble):
                    opened.append(self._ask(pair, side, PATIENCE, "open", op=op, case=case, provider=provider))
                    pair.checked[side], pair.stamps[side] = opened[-1]["checked"], opened[-1]["stamp"]
            if len(opened) == 2:
                with suppress(Trouble):
                    self._time(pair, opened[0]["seconds"], opened[1]["seconds"], seed + place)
                    self._count(pair)
            if progress and task is not None:
                progress.advance(task)

    def _time(self, pair: _Pair, a_seconds: float, b_seconds: float, seed: int) -> None:
        pair.plan = pair.plan or plan(a_seconds, b_seconds)  # every launch as the first
        inner, count = pair.plan
        longer = max(a_seconds, b_seconds)
        patience = max(ROUND_PATIENCE, 10 * longer * inner)

        def round_of(side: int) -> float:
            return float(self._ask(pair, side, patience, "round", inner=inner, warm=longer < WARM_SECONDS)["ms"])

        taken = take(lambda: round_of(0), lambda: round_of(1), count, seed)
        for rounds, more in zip(pair.rounds, taken, strict=True):
            rounds += more
        pair.launches += 1

    def _count(self, pair: _Pair) -> None:
        if self._no_counts or pair.key in self._counts:
            return
        try:
            a, b = (worker.ask(PATIENCE, "count")["instructions"] for worker in self._workers)
            self._counts[pair.key] = (a, b)
        except Trouble as trouble:
            self._no_counts = str(trouble)

    def _ask(self, pair: _Pair, side: int, seconds: float, do: str, **question: Any) -> dict[str, Any]:
        try:
            return self._workers[side].ask(seconds, do, **question)
        except Trouble as trouble:
            pair.errors[side] = str(trouble)
            raise


def _pairs(a: list[dict[str, Any]], b: list[dict[str, Any]], choice: Choice) -> list[_Pair]:
    """Every case that one of both has and `choice` names, in the order of A."""
    sides = [{(one["op"], one["case"], one["provider"]): one for one in cases} for cases in (a, b)]
    found = []
    for key in dict.fromkeys([*sides[0], *sides[1]]):
        op, case, _ = key
        if (not choice.ops or op in choice.ops) and choice.case.lower() in case.lower():
            found.append(_Pair(key, [side.get(key) for side in sides]))
    return found


def _row(pair: _Pair, side: int, stamp: dict[str, Any], pairing: str) -> Row:
    facts = dict(pair.facts[side] or {})
    # The other revision may count more of a case's work than rows keep.
    work = {name: value for name, value in (facts.pop("work") or {}).items() if name in Row.__annotations__}
    row: dict[str, Any] = {**facts, **work, **stamp, **pair.stamps[side], "kind": "headrace"}
    row.update(checked=pair.checked[side], error=pair.errors[side])
    if pair.timed() and pair.plan:
        row.update(summary(pair.rounds[side]), inner=pair.plan[0], pairing=pairing, launches=pair.launches)
    return Row(**row)
