"""Exact top-k beside FAISS, USearch, torch, and HNSW, which is not exact."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.benchmarks.harness.case import Bench, Call, Case, Near, Provider, Wrong
from headrace.benchmarks.harness.curves import THREADS, curves
from headrace.benchmarks.harness.keep import keep
from headrace.benchmarks.peers import search_faiss, search_hnsw, search_torch, search_usearch
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
#: Queries whose answers are checked, and the least share of their ids that a peer must find.
CHECKED, ENOUGH = 4, 0.5
_BLOCK = 100_000


@dataclass(frozen=True)
class Search:
    """queries float32 [B, d], items float32 [N, d]; allowed: bool [N], None for all items."""

    queries: Tensor
    items: Tensor
    k: int
    allowed: Tensor | None

    @cached_property
    def mask(self) -> Tensor | None:
        """The allowed items as bits, int64 [ceil(N/64)]."""
        if self.allowed is None:
            return None
        bits = np.packbits(self.allowed.numpy(), bitorder="little")
        return torch.from_numpy(np.pad(bits, (0, -len(bits) % 8)).view(np.int64))

    @cached_property
    def checked(self) -> NDArray[np.int64]:
        """The queries that are checked, from the first to the last."""
        return np.unique(np.linspace(0, len(self.queries) - 1, CHECKED).astype(int))

    @cached_property
    def truth(self) -> NDArray[np.int64]:
        """The ids of the checked queries by products in float64, equal scores to the lower id."""
        queries = self.queries.numpy()[self.checked].astype(np.float64)
        scores = np.concatenate([block.numpy() @ queries.T for block in self.items.double().split(_BLOCK)])
        if self.allowed is not None:
            scores[~self.allowed.numpy()] = -np.inf
        ids = np.arange(len(scores))
        return np.stack([_best(column, ids, self.k) for column in scores.T])


def _best(scores: NDArray[np.float64], ids: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    found = np.flatnonzero(scores >= least)
    order: NDArray[np.int64] = ids[found][np.lexsort((found, -scores[found]))[:k]]
    return order


@keep(2)
def make_items(items: int, dim: int, clustered: bool) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(items, dim, generator=generator)
    if clustered:
        centres = torch.randn(1000, dim, generator=generator)
        vectors.mul_(0.3).add_(centres[torch.randint(0, 1000, (items,), generator=generator)])
    return vectors


def make_search(batch: int, items: int, dim: int, k: int, clustered: bool, share: float) -> Search:
    """clustered: items lie round 1,000 centres, queries near items. share: of the items that are allowed."""
    catalogue = make_items(items, dim, clustered)
    generator = torch.Generator().manual_seed(1)
    queries = torch.randn(batch, dim, generator=generator)
    if clustered:
        queries = 0.3 * queries + catalogue[torch.randint(0, items, (batch,), generator=generator)]
    allowed = torch.rand(items, generator=generator) < share if share < 1 else None
    return Search(queries, catalogue, k, allowed)


def check(search: Search, answer: Any) -> str:
    got = np.asarray(answer)
    if got.shape != (len(search.queries), search.k):
        raise Wrong(f"expected ids of shape {(len(search.queries), search.k)}, got {got.shape}")
    got = got[search.checked].astype(np.int64)
    if np.array_equal(got, search.truth):
        return "exact"
    found = [np.isin(row, true).mean() for row, true in zip(got, search.truth, strict=True)]
    share = float(np.mean(found))
    if share < ENOUGH:
        raise Wrong(f"only {share:.1%} of the ids are among a brute force's {search.k}")
    return Near(share, "of ids" if share < 1 else "of ids, near ties swapped")


def prepare_headrace(search: Search, case: Case, backend: str) -> Call:
    mask = search.mask
    return lambda: topk(search.queries, search.items, search.k, mask=mask, backend=backend)[1]


def prepare_index(search: Search, case: Case, scan: str) -> Call:
    items, dim = int(case.params["items"] or 0), int(case.params["dim"] or 0)
    index = build_index(items, dim, bool(case.params["clustered"]), scan)
    mask = search.mask
    return lambda: index.search(search.queries, search.k, mask)[1]


@keep(2)
def build_index(items: int, dim: int, clustered: bool, scan: str) -> TopKIndex:
    return TopKIndex(make_items(items, dim, clustered), scan=scan)


def index_work(case: Case, scan: str) -> Work:
    batch, items, dim, k = (int(case.params[name] or 0) for name in ("batch", "items", "dim", "k"))
    kept = extension().topk_packed_bytes(items, dim, METRICS.index("ip"), SCANS.index(scan))
    return packed_work(batch, items, dim, k, scan, kept)


def prepare_torch(search: Search, case: Case) -> Call:
    return search_torch.float32(search.queries, search.items, search.k, search.allowed)


def prepare_bfloat16(search: Search, case: Case) -> Call:
    return search_torch.bfloat16(search.queries, search.items, search.k)


def prepare_faiss(search: Search, case: Case, tuned: bool) -> Call:
    allowed = None if search.allowed is None else search.allowed.numpy()
    return search_faiss.flat(search.queries.numpy(), search.items.numpy(), search.k, allowed, tuned)


def prepare_usearch(search: Search, case: Case) -> Call:
    return search_usearch.exact(search.queries.numpy(), search.items.numpy(), search.k)


def prepare_hnsw(search: Search, case: Case) -> Call:
    sizes = (int(case.params["items"] or 0), int(case.params["dim"] or 0), bool(case.params["clustered"]))
    return search_hnsw.search(build_hnsw(*sizes), search.queries.numpy(), search.k)


@keep()
def build_hnsw(items: int, dim: int, clustered: bool) -> Any:
    return search_hnsw.build(make_items(items, dim, clustered).numpy())


def _case(batch: int, items: int, dim: int, k: int, clustered: bool = False, share: float = 1.0) -> Case:
    size = f"{items // 10**6}M" if items % 10**6 == 0 else f"{items // 1000}k"
    extra = (" clustered" if clustered else "") + (f" {share:.0%} allowed" if share < 1 else "")
    return Case(
        op="topk",
        name=f"B{batch} N{size} d{dim} k{k}{extra}",
        params={"batch": batch, "items": items, "dim": dim, "k": k, "clustered": clustered, "share": share},
        inputs=partial(make_search, batch, items, dim, k, clustered, share),
        check=check,
        work=work(batch, round(items * share), dim, k),
    )


def _number(case: Case, *names: str) -> float:
    return float(np.prod([float(case.params[name] or 0) for name in names]))


def _small(case: Case) -> bool:
    return _number(case, "batch", "items") <= 400_000


def _no_mask(case: Case) -> bool:
    return case.params["share"] == 1.0


def _usearch_serves(case: Case) -> bool:
    return _no_mask(case) and case.axis is None and _number(case, "batch", "items") <= 10**7


def _hnsw_serves(case: Case) -> bool:
    small = _number(case, "items", "dim") <= (2 * 10**6 if "quick" in case.suites else 10**5 * 64)
    return _no_mask(case) and case.axis is None and small


def _compared(case: Case) -> bool:
    return case.axis is None


_QUICK = [(16, 20_000, 64, 100), (1, 100_000, 64, 100), (64, 100_000, 64, 100)]
_QUICK += [(1, 1_000_000, 64, 100), (64, 1_000_000, 64, 100)]
_FULL = [(b, n, 64, k) for n in (100_000, 1_000_000) for b in (1, 16, 64, 256) for k in (100, 1000)]

BENCH = Bench(
    "topk",
    "Exact top-k",
    cases=(
        *(_case(*sizes) for sizes in _QUICK),
        _case(64, 100_000, 64, 100, clustered=True),
        _case(64, 1_000_000, 64, 100, share=0.1),
        *(replace(_case(*sizes), suites=("full",)) for sizes in _FULL if sizes not in _QUICK),
        *(replace(_case(64, 1_000_000, 64, 100, share=share), suites=("full",)) for share in (0.5, 0.01)),
        replace(_case(64, 1_000_000, 64, 100, clustered=True), suites=("full",)),
        *curves(_case, BASE, AXES),
    ),
    providers=(
        Provider("headrace", "headrace", partial(prepare_headrace, backend="auto")),
        *(
            Provider(
                f"headrace index, {scan}",
                "headrace",
                partial(prepare_index, scan=scan),
                serves=_no_mask,
                why="no low precision with a mask",
                work=partial(index_work, scan=scan),
            )
            for scan in ("bfloat16", "int8")
        ),
        Provider("reference", "reference", partial(prepare_headrace, backend="reference"), (), _small, "too slow"),
        Provider("torch", "peer", prepare_torch),
        Provider("torch bfloat16", "peer", prepare_bfloat16, (), _no_mask, "in float32 where a mask is given"),
        Provider("FAISS flat, tuned", "peer", partial(prepare_faiss, tuned=True), ("faiss",)),
        Provider("FAISS flat", "peer", partial(prepare_faiss, tuned=False), ("faiss",), _compared, "tuned on curves"),
        Provider("USearch exact", "peer", prepare_usearch, ("usearch",), _usearch_serves, "too slow, or a mask"),
        Provider("hnswlib", "peer", prepare_hnsw, ("hnswlib",), _hnsw_serves, "takes over 20 s to build, or a mask"),
    ),
)
