"""No threads to be had: kernels work with those that there are, and what cannot says so."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from headrace.data import Dataset, write_parquet
from headrace.loadtest import Plan, Users, measure
from headrace.profiling.load import Callers
from headrace.serving import Engine

ALONE = """
import threading
import torch
from headrace import kernels
from headrace.exposure import ExposureFilter
try:
    threading.Thread(target=print).start()
except RuntimeError:
    print("no thread")
items = torch.randn(20_000, 16)
for scan in ("float32", "bfloat16"):
    index = kernels.TopKIndex(items, metric="l2", scan=scan)
    found = [index.search(items[:64], 3, threads=threads)[1] for threads in (1, 4, 1024)]
    print(all(torch.equal(one, found[0]) for one in found), found[0][:, 0].tolist() == list(range(64)))
exposure, user = ExposureFilter(), torch.arange(50_000) % 500
exposure.record(user, torch.arange(50_000))
print(bool(exposure.seen(user, torch.arange(50_000)).all()))
"""

SERVING = """
import pickle, sys, threading
import headrace
try:
    threading.Thread(target=print).start()
except RuntimeError:
    print("no thread")
engine = headrace.Engine.load(sys.argv[1])
print([page.items for page in engine.recommend([0, 1, 2], 5)])
print([page.items for page in pickle.loads(pickle.dumps(engine)).recommend([0, 1, 2], 5)])
"""

READING = """
import sys, threading
import headrace
from headrace.data import read_parquet, write_parquet
try:
    threading.Thread(target=print).start()
except RuntimeError:
    print("no thread")
data = read_parquet(sys.argv[1])
write_parquet(data, sys.argv[2])
print(len(data.log), len(data.users), len(read_parquet(sys.argv[2]).catalogue))
"""


def without_threads() -> None:
    # A thread's stack is as large as this says, and no memory is.
    resource.setrlimit(resource.RLIMIT_STACK, (2**46, resource.RLIM_INFINITY))


def run_alone(code: str, *arguments: Path) -> list[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HEADRACE_THREADS": "4"}
    run = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, check=False, env=environment, preexec_fn=without_threads,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    first, *rest = run.stdout.splitlines()
    assert first == "no thread"
    return rest


alone = pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_STACK)[1] != resource.RLIM_INFINITY, reason="the stack's size is limited here"
)


@pytest.mark.slow
@alone
def test_kernels_work_in_the_caller_where_no_thread_starts() -> None:
    assert run_alone(ALONE) == ["True True", "True True", "True"]


@pytest.mark.slow
@alone
def test_an_engine_loads_and_serves_where_no_thread_starts(snapshot: Path) -> None:
    pages = str([page.items for page in Engine.load(snapshot).recommend([0, 1, 2], 5)])
    assert run_alone(SERVING, snapshot) == [pages, pages]


@pytest.mark.slow
@alone
def test_a_log_is_read_and_written_where_no_thread_starts(small_log: Dataset, tmp_path: Path) -> None:
    write_parquet(small_log, tmp_path / "log")
    sizes = f"{len(small_log.log)} {len(small_log.users)} {len(small_log.catalogue)}"
    assert run_alone(READING, tmp_path / "log", tmp_path / "copy") == [sizes]


class Asked:
    """A target that answers at once."""

    name, in_process, batches = "asked", False, False

    def connect(self) -> Asked:
        return self

    def send(self, users: object) -> None:
        pass

    def close(self) -> None:
        pass


def test_a_load_of_more_callers_than_threads_says_so(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, []

    def start_two(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_two)
    with pytest.raises(OSError, match="workers: expected 5 threads, got fewer from this machine: can't start"):
        measure(Asked(), Users(np.arange(9)), Plan(1, workers=5, seconds=0.1, warm_up=0.0, loads=()))
    started.clear()
    with (
        pytest.raises(OSError, match="concurrency: expected 5 threads, got fewer from this machine"),
        Callers(engine, 5) as callers,
    ):
        callers.run([np.arange(2)] * 5)
