"""Exact top-k over shards beside one index over everything: what sharding costs where one machine has it all."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from functools import partial
from typing import Any

import torch

from headrace.benchmarks.bench_topk import build_index, index_work
from headrace.benchmarks.harness.case import Bench, Call, Case, Provider
from headrace.benchmarks.harness.keep import keep
from headrace.benchmarks.searches import Search, check, make_search
from headrace.benchmarks.vectors import make_items
from headrace.kernels import TopKIndex
from headrace.kernels.sharded.files import save_shards
from headrace.kernels.sharded.processes import TopKProcesses
from headrace.kernels.sharded.shards import TopKShards
from headrace.kernels.topk.work import work

SCAN = "int8"
DIM, K = 64, 100


@keep(2)
def build_shards(items: int, shards: int) -> TopKShards:
    parts = zip(
        make_items("normal", items, DIM).tensor_split(shards), torch.arange(items).tensor_split(shards), strict=True
    )
    return TopKShards([TopKIndex(vectors, ids, scan=SCAN) for vectors, ids in parts])


@keep(1)
def start_processes(items: int, shards: int) -> TopKProcesses:
    folder = tempfile.mkdtemp()
    save_shards(folder, make_items("normal", items, DIM), shards, scan=SCAN)
    processes = TopKProcesses.load(folder)
    weakref.finalize(processes, shutil.rmtree, folder, ignore_errors=True)
    return processes


def prepare_whole(search: Search, case: Case) -> Call:
    index = build_index("normal", len(search.items), DIM, "ip", SCAN)
    return lambda: index.search(search.queries, search.k)[1]


def prepare_shards(search: Search, case: Case, shards: int) -> Call:
    parts = build_shards(len(search.items), shards)
    return lambda: parts.search(search.queries, search.k)[1]


def prepare_processes(search: Search, case: Case, shards: int) -> Call:
    processes = start_processes(len(search.items), shards)
    return lambda: processes.search(search.queries, search.k)[1]


def _case(batch: int, items: int, suites: tuple[str, ...] = ("full",)) -> Case:
    size = f"{items // 10**6}M" if items >= 10**6 else f"{items // 1000}k"
    return Case(
        op="topk_sharded",
        name=f"B{batch} N{size} d{DIM} k{K}",
        params={"batch": batch, "items": items, "dim": DIM, "k": K, "metric": "ip", "share": 1.0},
        inputs=partial(make_search, batch, items, DIM, K, "normal", "ip", 1.0),
        check=check,
        work=work(batch, items, DIM, K),
        suites=suites,
    )


def _provider(name: str, prepare: Any) -> Provider:
    return Provider(name, "headrace", prepare, work=partial(index_work, scan=SCAN))


BENCH = Bench(
    "topk_sharded",
    "Exact top-k over shards",
    cases=(_case(16, 100_000, ("quick", "full")), *(_case(batch, 1_000_000) for batch in (1, 64))),
    providers=(
        _provider("headrace index", prepare_whole),
        _provider("headrace 2 shards", partial(prepare_shards, shards=2)),
        _provider("headrace 8 shards", partial(prepare_shards, shards=8)),
        _provider("headrace 2 processes", partial(prepare_processes, shards=2)),
    ),
)
