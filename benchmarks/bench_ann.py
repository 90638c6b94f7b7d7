"""What an approximate search saves and what it misses: recall against latency, beside the exact index.

Approximate ways count as peers: how much they find is measured, over all queries, and is no error. That every score
is the true one is checked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headrace.benchmarks.harness.case import Bench, Call, Case, Near, Provider, Wrong
from headrace.benchmarks.harness.clock import Timing
from headrace.benchmarks.harness.keep import keep
from headrace.benchmarks.vectors import make_items, make_queries
from headrace.kernels import TopKIndex, settings, topk
from headrace.search.ann import AnnIndex

#: Settings that are built, and of each those that are searched with.
BUILT: dict[str, list[tuple[dict[str, Any], list[dict[str, int]]]]] = {
    "ivf": [({}, [{"n_probes": n} for n in (1, 4, 16, 64)])],
    "ivfpq": [({}, [{"n_probes": n} for n in (1, 4, 16, 64)])],
    "hnsw": [({}, [{"ef_search": n} for n in (100, 200, 400, 800)])],
    "lsh": [({"n_tables": t, "n_bits": b}, [{}]) for t, b in ((8, 10), (16, 10), (32, 10), (32, 8))],
}
NAMES = {"ivf": "IVF", "ivfpq": "IVF-PQ", "hnsw": "HNSW", "lsh": "LSH"}
QUERIES = 256
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Approximate:
    """queries float32 [256, d], of which a call answers `batch`, the next ones each time. source: names the items."""

    queries: Tensor
    items: Tensor
    k: int
    batch: int
    metric: str
    source: str

    @cached_property
    def truth(self) -> tuple[Tensor, Tensor]:
        """Scores and ids of the k best, each query."""
        return topk(self.queries, self.items, self.k, self.metric)

    def starts(self) -> Iterator[int]:
        return cycle(range(0, len(self.queries) - self.batch + 1, self.batch))


def make(batch: int, items: int, dim: int, k: int) -> Approximate:
    queries, catalogue = make_queries("clustered", QUERIES, items, dim), make_items("clustered", items, dim)
    return Approximate(queries, catalogue, k, batch, "ip", "clustered")


def sift_file() -> Path | None:
    """SIFT descriptors uint8 [5000, 128], where the folder of real data has them."""
    folder = os.environ.get("HEADRACE_DATA") or Path(__file__).parents[1].parent / "shared" / "data"
    path = Path(folder) / "sift-5k" / "sift_5k.npy"
    return path if path.exists() else None


def make_sift(path: Path, batch: int, k: int) -> Approximate:
    """Descriptors by Euclidean distance; 256 of them, evenly spread, are the queries."""
    vectors = torch.from_numpy(np.load(path).astype(np.float32))
    asked = torch.zeros(len(vectors), dtype=torch.bool)
    asked[:: len(vectors) // QUERIES] = True
    asked &= asked.cumsum(0) <= QUERIES
    return Approximate(vectors[asked], vectors[~asked], k, batch, "l2", str(path))


def check(search: Approximate, answer: Any) -> str:
    start, scores, ids = answer
    best, true = (part[start : start + search.batch] for part in search.truth)
    if ids.shape != true.shape:
        raise Wrong(f"expected ids of shape {tuple(true.shape)}, got {tuple(ids.shape)}")
    same = torch.isin(ids, true) & (ids >= 0)
    wrong = (scores - best).where(ids == true, 0.0).abs() > _TOLERANCE * best.abs().clamp_min(1)
    if bool(wrong.any()) or bool((scores > best[:, :1]).any()):
        raise Wrong("a score is not the item's")
    return "exact" if torch.equal(ids, true) else Near(float(same.double().mean()), "of ids")


def share_found(search: Approximate, case: Case, call: Call, timing: Timing) -> dict[str, float]:
    """Of all queries, not only of those of the answer that was checked."""
    found = {}
    for _ in range(0, len(search.queries) - search.batch + 1, search.batch):
        start, _, ids = call()
        true = search.truth[1][start : start + search.batch]
        found[start] = ((ids[:, :, None] == true[:, None]) & (ids >= 0)[:, :, None]).any(2).double().mean()
    return {"share right": round(float(torch.stack(list(found.values())).mean()), 5)}


def prepare_exact(search: Approximate, case: Case, scan: str) -> Call:
    return _call(search, TopKIndex(search.items, metric=search.metric, scan=scan).search)


def prepare(search: Approximate, case: Case, method: str, built: tuple[tuple[str, Any], ...], chosen: Any) -> Call:
    items, dim = search.items.shape
    index = build(search.source, search.metric, items, dim, method, built)
    return _call(search, index.tuned(**chosen).search)


@keep(7)
def build(source: str, metric: str, items: int, dim: int, method: str, built: tuple[tuple[str, Any], ...]) -> AnnIndex:
    vectors = make_items("clustered", items, dim) if source == "clustered" else make_sift(Path(source), 1, 1).items
    threads = settings.get_threads()
    return AnnIndex(vectors, metric=metric, method=method, fallback="never", threads=threads, **dict(built))


def _call(search: Approximate, find: Callable[[Tensor, int], tuple[Tensor, Tensor]]) -> Call:
    starts = search.starts()

    def call() -> tuple[int, Tensor, Tensor]:
        start = next(starts)
        return (start, *find(search.queries[start : start + search.batch], search.k))

    return call


def _case(batch: int, items: int, dim: int = 64, k: int = 100, suites: tuple[str, ...] = ("full",)) -> Case:
    size = f"{items // 10**6}M" if items % 10**6 == 0 else f"{items // 1000}k"
    return Case(
        op="ann",
        name=f"B{batch} N{size} d{dim} k{k} clustered",
        params={"batch": batch, "items": items, "dim": dim, "k": k, "data": "clustered"},
        inputs=partial(make, batch, items, dim, k),
        check=check,
        suites=suites,
    )


def _sift(path: Path, batch: int, k: int = 100) -> Case:
    return Case(
        op="ann",
        name=f"B{batch} SIFT 5k d128 k{k}",
        params={"batch": batch, "items": 5000 - QUERIES, "dim": 128, "k": k, "data": "sift-5k"},
        inputs=partial(make_sift, path, batch, k),
        check=check,
        suites=("full",),
    )


def _few(case: Case) -> bool:
    return int(case.params["items"] or 0) <= 100_000


def _always(case: Case) -> bool:
    return True


def _words(chosen: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in chosen.items())


_FILE = sift_file()
BENCH = Bench(
    "ann",
    "Approximate and exact top-k",
    cases=(
        _case(64, 20_000, suites=("quick", "full")),
        *(_case(batch, items) for items in (100_000, 1_000_000) for batch in (1, 64)),
        *((_sift(_FILE, 64),) if _FILE else ()),
    ),
    providers=(
        *(Provider(f"exact, {scan}", "headrace", partial(prepare_exact, scan=scan)) for scan in ("float32", "int8")),
        *(
            Provider(
                f"{NAMES[method]}, {_words(built | chosen)}",
                "peer",
                partial(prepare, method=method, built=tuple(built.items()), chosen=chosen),
                () if method == "lsh" else ("faiss",),
                _few if method == "lsh" else _always,
                "too slow",
                measure=share_found,
            )
            for method, choices in BUILT.items()
            for built, searched in choices
            for chosen in searched
        ),
    ),
)
