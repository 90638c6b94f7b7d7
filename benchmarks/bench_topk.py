"""Exact top-k beside FAISS, USearch, torch, and HNSW and ScaNN, which are not exact."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from headrace.benchmarks.harness.case import Bench, Call, Case, Provider
from headrace.benchmarks.harness.clock import Timing
from headrace.benchmarks.harness.curves import THREADS, curves
from headrace.benchmarks.harness.keep import keep
from headrace.benchmarks.peers import search_faiss, search_hnsw, search_scann, search_torch, search_usearch
from headrace.benchmarks.searches import Search, check, make_search
from headrace.benchmarks.vectors import make_items
from headrace.kernels import TopKIndex, topk
from headrace.kernels.settings import extension
from headrace.kernels.topk.checks import METRICS
from headrace.kernels.topk.packed import SCANS
from headrace.kernels.topk.work import packed_work, work
from headrace.kernels.work import Work

BASE = {"batch": 16, "items": 100_000, "dim": 64, "k": 100}
AXES = {
    "items": (10_000, 100_000, 300_000, 1_000_000, 3_000_000),
    "dim": (16, 64, 128, 256, 512),
    "batch": (1, 16, 64, 256, 1024),
    "k": (10, 100, 1000),
    "threads": THREADS,
}


def catalogue(case: Case) -> tuple[str, int, int]:
    """The arguments of `make_items`."""
    return str(case.params["data"]), int(case.params["items"] or 0), int(case.params["dim"] or 0)


def prepare_headrace(search: Search, case: Case, backend: str) -> Call:
    mask = search.mask
    return lambda: topk(search.queries, search.items, search.k, search.metric, mask, backend=backend)[1]


def prepare_index(search: Search, case: Case, scan: str) -> Call:
    index = build_index(*catalogue(case), search.metric, scan)
    mask = search.mask
    return lambda: index.search(search.queries, search.k, mask)[1]


@keep(2)
def build_index(data: str, items: int, dim: int, metric: str, scan: str) -> TopKIndex:
    return TopKIndex(make_items(data, items, dim), metric=metric, scan=scan)


def measure_index(search: Search, case: Case, call: Call, timing: Timing, scan: str) -> dict[str, float]:
    """What finding in low precision left for float64, a query: pairs it scored, and searches that had to widen."""
    index = build_index(*catalogue(case), search.metric, scan)
    counts = index.search_counted(search.queries, search.k, search.mask)[2]
    if counts is None:
        return {}
    batch = len(search.queries)
    return {"rescored_per_query": counts.rescored / batch, "widened_per_query": counts.widened / batch}


def index_work(case: Case, scan: str) -> Work:
    batch, items, dim, k = (int(case.params[name] or 0) for name in ("batch", "items", "dim", "k"))
    allowed = round(items * float(case.params["share"] or 1))
    kept = extension().topk_packed_bytes(allowed, dim, METRICS.index(str(case.params["metric"])), SCANS.index(scan))
    return packed_work(batch, allowed, dim, k, scan, kept)


def prepare_torch(search: Search, case: Case) -> Call:
    return search_torch.float32(search.queries, search.items, search.k, search.metric, search.allowed)


def prepare_bfloat16(search: Search, case: Case) -> Call:
    return search_torch.bfloat16(search.queries, search.items, search.k)


def prepare_faiss(search: Search, case: Case, tuned: bool) -> Call:
    allowed = None if search.allowed is None else search.allowed.numpy()
    return search_faiss.flat(search.queries.numpy(), search.items.numpy(), search.k, search.metric, allowed, tuned)


def prepare_usearch(search: Search, case: Case) -> Call:
    return search_usearch.exact(search.queries.numpy(), search.items.numpy(), search.k)


def prepare_hnsw(search: Search, case: Case) -> Call:
    return search_hnsw.search(build_hnsw(*catalogue(case)), search.queries.numpy(), search.k)


@keep()
def build_hnsw(data: str, items: int, dim: int) -> Any:
    return search_hnsw.build(make_items(data, items, dim).numpy())


def prepare_scann(search: Search, case: Case, exact: bool) -> Call:
    return search_scann.search(search.queries.numpy(), search.items.numpy(), search.k, exact)


def _case(
    batch: int, items: int, dim: int, k: int, data: str = "normal", metric: str = "ip", share: float = 1.0
) -> Case:
    size = f"{items // 10**6}M" if items % 10**6 == 0 else f"{items // 1000}k"
    extra = [*([data] if data != "normal" else []), *([metric] if metric != "ip" else [])]
    extra += [f"{share:.0%} allowed"] if share < 1 else []
    sizes = {"batch": batch, "items": items, "dim": dim, "k": k}
    return Case(
        op="topk",
        name=" ".join([f"B{batch} N{size} d{dim} k{k}", *extra]),
        params={**sizes, "data": data, "metric": metric, "share": share},
        inputs=partial(make_search, batch, items, dim, k, data, metric, share),
        check=check,
        work=work(batch, round(items * share), dim, k),
    )


def _number(case: Case, *names: str) -> float:
    return float(np.prod([float(case.params[name] or 0) for name in names]))


def _small(case: Case) -> bool:
    return _number(case, "batch", "items") <= 400_000


def _plain(case: Case) -> bool:
    return case.params["share"] == 1.0 and case.params["metric"] == "ip"


def _usearch_serves(case: Case) -> bool:
    return _plain(case) and case.axis is None and _number(case, "batch", "items") <= 10**7


def _graph_serves(case: Case) -> bool:
    small = _number(case, "items", "dim") <= (2 * 10**6 if "quick" in case.suites else 10**5 * 64)
    return _plain(case) and case.axis is None and small


def _compared(case: Case) -> bool:
    return case.axis is None


_QUICK = [(16, 20_000, 64, 100), (1, 100_000, 64, 100), (64, 100_000, 64, 100)]
_QUICK += [(1, 1_000_000, 64, 100), (64, 1_000_000, 64, 100)]
_FULL = [(b, n, 64, k) for n in (100_000, 1_000_000) for b in (1, 16, 64, 256) for k in (100, 1000)]
_FULL += [(1024, 250_000, 128, 100)]
_MILLION = (64, 1_000_000, 64, 100)

BENCH = Bench(
    "topk",
    "Exact top-k",
    cases=(
        *(_case(*sizes) for sizes in _QUICK),
        _case(64, 100_000, 64, 100, "clustered"),
        _case(*_MILLION, share=0.1),
        *(replace(_case(*sizes), suites=("full",)) for sizes in _FULL if sizes not in _QUICK),
        *(replace(_case(*_MILLION, share=share), suites=("full",)) for share in (0.5, 0.01)),
        *(replace(_case(*_MILLION, metric=metric), suites=("full",)) for metric in ("cosine", "l2")),
        *(replace(_case(*_MILLION, data), suites=("full",)) for data in ("clustered", "duplicates")),
        replace(_case(64, 400_000, 50, 100, "glove"), suites=("full",)),
        *curves(_case, BASE, AXES),
    ),
    providers=(
        Provider("headrace", "headrace", partial(prepare_headrace, backend="auto")),
        *(
            Provider(
                f"headrace index, {scan}",
                "headrace",
                partial(prepare_index, scan=scan),
                measure=partial(measure_index, scan=scan),
                work=partial(index_work, scan=scan),
            )
            for scan in ("bfloat16", "int8")
        ),
        Provider("reference", "reference", partial(prepare_headrace, backend="reference"), (), _small, "too slow"),
        Provider("torch", "peer", prepare_torch),
        Provider("torch bfloat16", "peer", prepare_bfloat16, (), _plain, "in float32 where a mask or metric is given"),
        Provider("FAISS flat, tuned", "peer", partial(prepare_faiss, tuned=True), ("faiss",)),
        Provider("FAISS flat", "peer", partial(prepare_faiss, tuned=False), ("faiss",), _compared, "tuned on curves"),
        Provider("USearch exact", "peer", prepare_usearch, ("usearch",), _usearch_serves, "too slow, or a mask"),
        Provider("hnswlib", "peer", prepare_hnsw, ("hnswlib",), _graph_serves, "takes over 20 s to build, or a mask"),
        Provider(
            "ScaNN exact",
            "peer",
            partial(prepare_scann, exact=True),
            ("scann",),
            lambda case: _plain(case) and _compared(case),
            "inner products of all items only",
        ),
        Provider(
            "ScaNN", "peer", partial(prepare_scann, exact=False), ("scann",), _graph_serves, "long to build, or a mask"
        ),
    ),
)
