"""Exact top-k over catalogues too large for memory in float32: int8 numbers alone, in memory and mapped from a file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import weakref
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.benchmarks.harness.case import Bench, Call, Case, Provider, Wrong
from headrace.benchmarks.harness.clock import Timing
from headrace.benchmarks.harness.keep import keep
from headrace.benchmarks.large_index import blocks
from headrace.kernels import TopKIndex
from headrace.kernels.topk.packed import packed_bytes
from headrace.kernels.topk.work import packed_work

DIM, K = 64, 100
CACHE = Path("runs/bench-cache")
#: Queries whose answers are checked.
CHECKED = 4
_PRODUCTS = 250_000


class Built:
    """A file of an index, which goes when this does, and what building it took."""

    def __init__(self, items: int, dim: int) -> None:
        CACHE.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=CACHE)).resolve()
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.path = folder / "index"
        command = [sys.executable, "-m", "headrace.benchmarks.large_index", f"{items}", f"{dim}", f"{self.path}"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        self.took: dict[str, float] = json.loads(done.stdout)


@dataclass(frozen=True)
class Large:
    """queries: float32 [B, d]. items: how many."""

    queries: Tensor
    items: int
    k: int
    built: Built

    @cached_property
    def truth(self) -> NDArray[np.int64]:
        """The first queries' ids by products in float64 with the rounded vectors, equal scores to the lower id."""
        queries = self.queries[:CHECKED].double().numpy()
        scores, ids = np.empty((len(queries), 0)), np.empty((len(queries), 0), np.int64)
        for vectors, own in blocks(self.items, self.queries.shape[1]):
            rounded = TopKIndex(vectors, scan="int8", keep="none").truth
            for part, names in zip(rounded.split(_PRODUCTS), own.split(_PRODUCTS), strict=True):
                scores = np.concatenate([scores, queries @ part.double().numpy().T], 1)
                ids = np.concatenate([ids, np.broadcast_to(names.numpy(), (len(queries), len(names)))], 1)
                best = np.argsort(-scores, axis=1, kind="stable")[:, : self.k]
                scores, ids = np.take_along_axis(scores, best, 1), np.take_along_axis(ids, best, 1)
        return ids


@keep()
def built(items: int, dim: int) -> Built:
    return Built(items, dim)


def make_large(batch: int, items: int, dim: int, k: int) -> Large:
    queries = torch.randn(batch, dim, generator=torch.Generator().manual_seed(1))
    return Large(queries, items, k, built(items, dim))


def check(large: Large, answer: Any) -> str:
    got = np.asarray(answer)
    if got.shape != (len(large.queries), large.k):
        raise Wrong(f"expected ids of shape {(len(large.queries), large.k)}, got {got.shape}")
    if not np.array_equal(got[:CHECKED], large.truth):
        raise Wrong("ids differ from those of a brute force over the rounded vectors")
    return "exact"


def prepare(large: Large, case: Case, mmap: bool) -> Call:
    index = open_index(large.built.path, mmap)
    return lambda: index.search(large.queries, large.k)[1]


@keep(2)
def open_index(path: Path, mmap: bool) -> TopKIndex:
    return TopKIndex.load(path, mmap=mmap)


def measure(large: Large, case: Case, call: Call, timing: Timing) -> dict[str, float]:
    gigabytes = {f"{name} GB": large.built.took[name] / 1e9 for name in ("bytes", "peak")}
    per_item = min(timing.rounds) * 1e6 / large.items / len(large.queries)
    return {**gigabytes, "build seconds": large.built.took["seconds"], "nanoseconds a pair": per_item}


def fits(case: Case) -> bool:
    """Whether there is memory for one copy and the file's pages, and disk for the file."""
    size = packed_bytes(int(case.params["items"] or 0), int(case.params["dim"] or 0), "ip", "int8")
    return 2.2 * size + 2e9 < available_bytes() and size * 1.1 < shutil.disk_usage(".").free


def available_bytes() -> float:
    info = Path("/proc/meminfo")
    if not info.exists():
        return 0.0
    return 1024.0 * next(int(line.split()[1]) for line in info.read_text().splitlines() if line[:12] == "MemAvailable")


def _case(batch: int, items: int, dim: int = DIM, k: int = K) -> Case:
    size = f"{items // 10**6}M" if items % 10**6 == 0 else f"{items}"
    kept = packed_bytes(items, dim, "ip", "int8")
    return Case(
        op="topk_large",
        name=f"B{batch} N{size} d{dim} k{k}",
        params={"batch": batch, "items": items, "dim": dim, "k": k},
        inputs=partial(make_large, batch, items, dim, k),
        check=check,
        work=packed_work(batch, items, dim, k, "int8", kept),
        suites=("quick", "full") if batch == 1 and items <= 10**6 else ("full",),
    )


BENCH = Bench(
    "topk_large",
    "Exact top-k, int8 numbers alone",
    cases=tuple(_case(batch, items) for items in (10**6, 10**7, 10**8) for batch in (1, 64)),
    providers=tuple(
        Provider(
            f"headrace index, {where}",
            "headrace",
            partial(prepare, mmap=mmap),
            serves=fits,
            why="too little memory or disk",
            measure=measure,
        )
        for where, mmap in (("in memory", False), ("mapped", True))
    ),
)
