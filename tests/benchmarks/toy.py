"""A bench of one small real kernel, which can be made to misbehave; as a package too, for workers."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import headrace
from headrace.benchmarks.harness.case import Bench, Call, Case, Provider, Wrong
from headrace.kernels import topk
from headrace.kernels.work import Work

K = 10
Inputs = tuple[torch.Tensor, torch.Tensor]


class Clock:
    """Seconds that pass by calls alone, whatever the machine does meanwhile."""

    now = 0.0

    def read(self) -> float:
        return self.now


CLOCK = Clock()


def inputs() -> Inputs:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 32, generator=generator), torch.randn(2000, 32, generator=generator)


def check(given: Inputs, answer: tuple[torch.Tensor, torch.Tensor]) -> str:
    scores = given[0].double().numpy() @ given[1].double().numpy().T
    if not np.array_equal(np.argsort(-scores, kind="stable")[:, :K], answer[1].numpy()):
        raise Wrong("ids differ from a float64 brute force [in brackets]")
    return "exact"


def prepare(given: Inputs, ask: dict[str, Any]) -> Call:
    """The kernel, or what `ask` makes of it."""
    calls = 0

    def call() -> Any:
        nonlocal calls
        calls += 1
        CLOCK.now += 1e-3 * float(ask.get("slow") or 1.0)
        if ask.get("dies") and calls > 5:
            print("about to die", file=sys.stderr)
            os.kill(os.getpid(), 11)
        if ask.get("hangs") and calls > 5:
            time.sleep(1000)
        print("noise on standard output") if ask.get("prints") else None
        scores, ids = topk(*given, K, threads=1)
        return scores, ids.flip(1) if ask.get("wrong") else ids

    return call


def bench(**cases: dict[str, Any]) -> Bench:
    """A case for each name, misbehaving as its value says."""
    provider = Provider("headrace", "headrace", lambda given, case: prepare(given, cases[case.name]))
    made = [Case("toy", name, {"k": K}, inputs, check, Work(4 * 2000 * 32 * 2, 2000 * 32 * 4)) for name in cases]
    return Bench("toy", "A toy", tuple(made), (provider,))


def package(folder: Path, **cases: dict[str, Any]) -> Path:
    """A folder with a package `headrace` whose only bench is the toy."""
    engine = Path(headrace.__file__).parent
    kernels, benchmarks = (Path(getattr(headrace, name).__file__).parent for name in ("kernels", "benchmarks"))
    inside = folder / "headrace"
    (inside / "benchmarks").mkdir(parents=True)
    for source in engine.iterdir():
        if source.name not in ("kernels", "benchmarks", "__pycache__"):
            (inside / source.name).symlink_to(source)
    (inside / "kernels").symlink_to(kernels)
    for name in ("__init__.py", "harness", "guard"):
        (inside / "benchmarks" / name).symlink_to(benchmarks / name)
    shutil.copy(__file__, inside / "benchmarks" / "bench_toy.py")
    (inside / "benchmarks" / "behaviour.json").write_text(json.dumps(cases))
    return folder


_behaviour = Path(__file__).with_name("behaviour.json")
if _behaviour.exists():
    time.perf_counter = CLOCK.read  # of the worker's whole process
    BENCH = bench(**json.loads(_behaviour.read_text()))
