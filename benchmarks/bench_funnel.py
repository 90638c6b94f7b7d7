"""The whole funnel beside the obvious stack: FAISS, torch eager, NumPy and Python sets with the same models and sizes.

Both serve one snapshot and the same requests, a different batch at each call, filtering what users have seen without
recording more. docs/funnel-benchmark.md describes both sides and the numbers of a row.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import torch

from headrace.benchmarks.funnel_snapshot import SEED, snapshot_of
from headrace.benchmarks.harness.case import Bench, Call, Case, Provider, Wrong
from headrace.benchmarks.harness.clock import Timing
from headrace.benchmarks.harness.keep import keep
from headrace.benchmarks.harness.threads import pin
from headrace.benchmarks.peers.obvious_recall import faiss_flat, torch_flat
from headrace.benchmarks.peers.obvious_stack import ObviousStack, Served
from headrace.funnel import Trace
from headrace.kernels import settings
from headrace.serving.engine import Engine
from headrace.types import Candidates, Requests

#: Share of items that both must have in common, at every stage and on the pages: near ties in float32 may differ.
STAGE_FLOOR, PAGE_FLOOR = 0.99, 0.95
#: The further numbers of a row are taken over calls that last this long together, and as many at least.
_SECONDS, _CALLS = 1.0, 3


@dataclass(frozen=True)
class Inputs:
    """folder: the snapshot. batches: requests of users drawn at random. shown: items a page. memory: measure it too."""

    folder: Path
    batches: list[Requests]
    shown: int
    memory: bool


@dataclass(frozen=True)
class Answer:
    """A batch, and what its requests went through in either stack."""

    requests: Requests
    stages: Trace | Served


@keep()
def engine_of(folder: Path) -> Engine:
    return Engine.load(folder, verify=False)


@keep()
def stack_of(folder: Path) -> ObviousStack:
    return ObviousStack(folder, faiss_flat if importlib.util.find_spec("faiss") else torch_flat)


def make_inputs(items: int, batch: int) -> Inputs:
    folder = snapshot_of(items)
    engine = engine_of(folder)
    draw = np.random.default_rng(SEED + 1)
    users = draw.integers(0, len(engine.users.ids), (max(8, 64 // batch), batch))
    return Inputs(folder, [engine.requests(rows) for rows in users], engine.settings.page.shown, memory=True)


def serve(inputs: Inputs, run: Callable[[Requests, int], Trace | Served]) -> Call:
    """A call that answers the next batch."""
    batches = cycle(inputs.batches)

    def call() -> Answer:
        requests = next(batches)
        return Answer(requests, run(requests, inputs.shown))

    return call


def prepare_headrace(inputs: Inputs, case: Case) -> Call:
    return serve(inputs, engine_of(inputs.folder).funnel.run)


def prepare_obvious(inputs: Inputs, case: Case) -> Call:
    return serve(inputs, stack_of(inputs.folder).run)


def check(inputs: Inputs, answer: Answer) -> str:
    """Compares every stage of one stack with the other's for the same requests."""
    stages = answer.stages
    other = stack_of(inputs.folder) if isinstance(stages, Trace) else engine_of(inputs.folder).funnel
    return agreement(lists_of(stages), lists_of(other.run(answer.requests, inputs.shown)))


Lists = dict[str, list[list[int]]]


def agreement(ours: Lists, theirs: Lists) -> str:
    """How alike two answers are, in words. Raises Wrong for a stage or pages below the floors."""
    shares = {name: _shared(lists, theirs[name]) for name, lists in ours.items()}
    for name, share in shares.items():
        if share < (PAGE_FLOOR if name == "re-ranking" else STAGE_FLOOR):
            raise Wrong(f"{name}: only {share:.2%} of the items are those of the other stack")
    pages = list(zip(ours["re-ranking"], theirs["re-ranking"], strict=True))
    same = sum(a == b for a, b in pages)
    if same < len(pages) - max(1, 0.05 * len(pages)):
        raise Wrong(f"only {same} of {len(pages)} pages are those of the other stack")
    return f"{same} of {len(pages)} pages alike, stages {np.floor(min(shares.values()) * 1e4) / 100:.2f} %"


def _shared(ours: list[list[int]], theirs: list[list[int]]) -> float:
    """Items that both found, by items that either did."""
    either = sum(len({*a, *b}) for a, b in zip(ours, theirs, strict=True))
    both = sum(len({*a} & {*b}) for a, b in zip(ours, theirs, strict=True))
    return both / either if either else 1.0


def lists_of(stages: Trace | Served) -> Lists:
    """Each stage's items, request by request."""
    if isinstance(stages, Served):
        return stages.items

    def split(candidates: Candidates) -> list[list[int]]:
        return [part.tolist() for part in torch.split(candidates.item, candidates.counts.tolist())]

    return {name: split(candidates) for name, candidates in (stages.recalled | stages.after_merge).items()}


def measure(inputs: Inputs, case: Case, call: Call, timing: Timing, who: str) -> dict[str, float]:
    """Rates and latencies from the timed rounds; CPU time and stages from further calls; memory in a new process."""
    batch = int(case.params["batch"] or 1)
    rounds = np.array(timing.rounds)
    seconds: list[dict[str, float]] = []
    started, cpu = time.perf_counter(), time.process_time()
    while len(seconds) < _CALLS or time.perf_counter() - started < _SECONDS:
        seconds.append(_stage_seconds(call().stages))
    cpu = (time.process_time() - cpu) / len(seconds)
    metrics = {
        "requests_per_second": batch * 1e3 / float(np.median(rounds)),
        "p50_ms_per_request": float(np.median(rounds)) / batch,
        "p99_ms_per_request": float(np.percentile(rounds, 99)) / batch,
        "cpu_seconds_per_1000_requests": cpu * 1e3 / batch,
    }
    if inputs.memory:
        metrics["peak_memory_mb"] = peak_memory(who, inputs.folder, batch) / 2**20
    stages = {f"ms {name}": 1e3 * float(np.median([one[name] for one in seconds])) for name in seconds[0]}
    return {name: float(f"{value:.4g}") for name, value in (metrics | stages).items()}


def _stage_seconds(stages: Trace | Served) -> dict[str, float]:
    return stages.seconds if isinstance(stages, Served) else {one.stage: one.seconds for one in stages.times}


def peak_memory(who: str, folder: Path, batch: int) -> int:
    """Bytes: the most memory that a process has held that loads one stack and serves a few batches."""
    words = [sys.executable, "-m", __spec__.name if __name__ == "__main__" else __name__]
    words += [who, str(folder), str(batch), str(settings.get_threads())]
    return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def _serve_and_tell(who: str, folder: Path, batch: int, threads: int) -> None:
    """What `peak_memory` runs: both sides start from the snapshot alone."""
    run: Callable[[Requests, int], Trace | Served]
    if who == "headrace":
        engine = Engine.load(folder, verify=False)
        run, shown, as_of, users = engine.funnel.run, engine.settings.page.shown, engine.as_of, len(engine.users.ids)
    else:
        stack = ObviousStack(folder)
        end, everyone = stack.features.store.end, stack.features.users
        run, shown, as_of, users = stack.run, stack.settings.page.shown, end, everyone
    pin(threads)
    draw = np.random.default_rng(SEED + 1)
    for rows in draw.integers(0, users, (3, batch)):
        run(Requests(torch.from_numpy(rows), torch.full((batch,), as_of)), shown)
    print(_peak_bytes())


def _peak_bytes() -> int:
    # Not ru_maxrss: it may hold the peak of the process that started this one.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status: expected a line VmHWM")


def case_of(items: int, batch: int) -> Case:
    size = "1M" if items == 1_000_000 else f"{items // 1000}k"
    return Case(
        op="funnel",
        name=f"B{batch} N{size}",
        params={"batch": batch, "items": items},
        inputs=partial(make_inputs, items, batch),
        check=check,
        suites=("quick", "full") if items == 100_000 and batch in (1, 64) else ("full",),
        axis="batch" if items == 100_000 else None,
    )


BENCH = Bench(
    "funnel",
    "The whole funnel beside the obvious stack",
    cases=(
        *(case_of(100_000, batch) for batch in (1, 16, 64, 256)),
        *(case_of(1_000_000, batch) for batch in (1, 16, 64, 256)),
    ),
    providers=(
        Provider("headrace", "headrace", prepare_headrace, measure=partial(measure, who="headrace")),
        Provider("obvious stack", "peer", prepare_obvious, ("faiss",), measure=partial(measure, who="obvious stack")),
    ),
)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _serve_and_tell(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
