"""Exact top-k on a GPU: against the reference, then beside matrix product and torch.topk in chunks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from headrace.benchmarks.gpu.peers import COMPILED, compiled, provider, told
from headrace.benchmarks.gpu.site import Check, Part, Site, equal, refused
from headrace.benchmarks.harness.case import Bench, Call, Case, Provider, Wrong
from headrace.kernels.topk import METRICS, topk
from headrace.kernels.topk.work import work

#: A float32 ranking swaps near ties; fewer right ids than this is another answer.
LEAST_RIGHT = 0.9
Inputs = tuple[Tensor, Tensor, int]


def _same(queries: Tensor, items: Tensor, k: int, metric: str, mask: Tensor | None = None) -> None:
    found = topk(queries, items, k, metric, mask, "gpu")
    expected = topk(queries, items, k, metric, mask, "reference")
    equal(f"{metric} ids", found[1], expected[1])
    equal(f"{metric} scores", found[0], expected[0])


def awkward(site: Site) -> str:
    sizes = [(1, 1, 1, 1), (3, 97, 7, 100), (17, site.size(5000, 130), 33, 20), (2, site.size(65537, 65), 16, 4)]
    for metric in METRICS:
        for batch, items, dim, k in sizes:
            _same(site.normal(batch, dim, seed=1), site.normal(items, dim, seed=2), k, metric)
    return f"ids and scores equal at {len(sizes)} sizes, {', '.join(METRICS)}"


def realistic(site: Site) -> str:
    batch, items, dim, k = site.size(17, 2), site.size(1_000_003, 1101), site.size(64, 8), site.size(100, 5)
    for metric in METRICS:
        _same(site.normal(batch, dim, seed=1), site.normal(items, dim, seed=2), k, metric)
    return f"ids and scores equal, B {batch}, N {items}, d {dim}, k {k}"


def ties(site: Site) -> str:
    count = site.size(20_000, 130)
    _same(site.integers(-2, 3, 5, 9).float(), site.integers(-2, 3, count, 9, seed=1).float(), 50, "ip")
    _same(torch.ones(2, 4, device=site.device), torch.ones(count, 4, device=site.device), 5, "ip")
    _same(torch.zeros(1, 4, device=site.device), site.normal(count, 4), 5, "cosine")
    return "equal scores go to the lower id"


def extremes(site: Site) -> str:
    queries, items = site.normal(3, 8), site.normal(site.size(5000, 130), 8, seed=1)
    for metric in METRICS:
        _same(queries * 1e15, items * 1e18, 7, metric)
        _same(queries, items * 1e-25, 7, metric)
    return "large and tiny numbers"


def masks(site: Site) -> str:
    count = site.size(100_001, 193)
    words = -(-count // 64)
    queries, items = site.normal(5, 24), site.normal(count, 24, seed=1)
    for shape in ((words,), (5, words)):
        mask = site.integers(-(2**63), 2**63 - 1, *shape, seed=2)
        for k in (10, 300):
            _same(queries, items, k, "ip", mask)
    _same(queries, items, 10, "l2", torch.zeros(words, dtype=torch.int64, device=site.device))
    return "one mask for all, one each, and one that allows nothing"


def strided(site: Site) -> str:
    _same(site.normal(7, 5).T, site.normal(7, site.size(3000, 200)).T, 9, "ip")
    _same(site.normal(5, 14)[:, ::2], site.normal(300, 7)[::2], 9, "l2")
    return "transposed and strided inputs"


def empty(site: Site) -> str:
    for batch, items in ((0, 10), (3, 0), (0, 0)):
        _same(site.normal(batch, 4), site.normal(items, 4), 3, "ip")
    return "no queries, no items"


def not_finite(site: Site) -> str:
    for value in (torch.nan, torch.inf):
        for name, row in (("queries", 1), ("items", 70)):
            queries, items = site.normal(3, 4), site.normal(site.size(5000, 200), 4, seed=1)
            (queries if name == "queries" else items)[row, 2] = value
            words = f"{name}: expected finite values, got NaN or infinity in row {row}"
            refused(words, lambda q=queries, x=items: topk(q, x, 3, backend="gpu"))  # type: ignore[misc]
    return "NaN and infinity are named"


def bench(site: Site) -> Bench:
    """10M items of 128 dimensions, fewer where the memory does not hold them four times."""
    items = site.size(min(10_000_000, int(site.memory / (4 * 4 * 128))), 200)
    dim, k = site.size(128, 8), site.size(100, 5)
    cases = tuple(_case(site, batch, items, dim, k) for batch in ((2,) if site.small else (1, 64, 1024)))
    return Bench("topk", "exact top-k", cases, _providers(site))


def _case(site: Site, batch: int, items: int, dim: int, k: int) -> Case:
    def inputs() -> Inputs:
        return site.normal(batch, dim, seed=1), site.normal(items, dim, seed=2), k

    params = {"batch": batch, "items": items, "dim": dim, "k": k}
    name = f"B{batch} N{items / 1e6:.3g}M d{dim} k{k}"
    return Case("topk", name, dict(params), inputs, _check, work(batch, items, dim, k))


def _check(inputs: Inputs, answer: Any) -> str:
    """Ids of up to 16 queries against a float64 brute force."""
    queries, items, k = inputs
    ids = torch.as_tensor(answer[1], device=queries.device)
    if ids.shape != (len(queries), k):
        raise Wrong(f"expected ids of shape {(len(queries), k)}, got {tuple(ids.shape)}")
    sample = torch.linspace(0, len(queries) - 1, min(16, len(queries)), device=ids.device).long()
    expected = _chunked(queries[sample].double(), items, k, 1 << 18)[1]
    right = float((ids[sample].sort(1).values == expected.sort(1).values).double().mean())
    if right < 1.0:  # one id missing shifts the others
        right = float((ids[sample, :, None] == expected[:, None, :]).any(2).double().mean())
    if right < LEAST_RIGHT:
        raise Wrong(f"{right:.1%} of the ids right")
    same_order = bool((ids[sample] == expected).all())
    return told(right, f"of the ids of {len(sample)} queries", same_order)


def _chunked(queries: Tensor, items: Tensor, k: int, rows: int) -> tuple[Tensor, Tensor]:
    """Scores of `rows` items at a time; the best k of each chunk, then of all."""
    scores, ids = [], []
    for start in range(0, len(items), rows):
        chunk = items[start : start + rows].to(queries.dtype)
        best = (queries @ chunk.T).topk(min(k, len(chunk)), dim=1)
        scores.append(best.values)
        ids.append(best.indices + start)
    best = torch.cat(scores, 1).topk(k, dim=1)
    return best.values, torch.cat(ids, 1).gather(1, best.indices)


def _rows(queries: Tensor) -> int:
    """Items in a chunk: scores of half a gigabyte."""
    return max(1 << 14, (1 << 27) // len(queries))


def _providers(site: Site) -> tuple[Provider, ...]:
    def ours(inputs: Inputs) -> Call:
        queries, items, k = inputs
        return lambda: topk(queries, items, k, backend="gpu")

    def eager(inputs: Inputs) -> Call:
        queries, items, k = inputs
        return lambda: _chunked(queries, items, k, _rows(queries))

    def tensor_cores(inputs: Inputs) -> Call:
        return lambda: _in_tf32(eager(inputs))

    def compile_it(inputs: Inputs) -> Call:
        queries, items, k = inputs

        def best(q: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
            found = (q @ x.T).topk(k, dim=1)
            return found.values, found.indices

        best_of = compiled(site, best)
        rows = min(_rows(queries), len(items))
        chunks = list(items.split(rows))
        # One shape, one compilation: the rest of the items goes by eager torch.
        whole, rest = (chunks[:-1], chunks[-1:]) if len(chunks[-1]) < max(rows, k) else (chunks, [])

        def call() -> tuple[Tensor, Tensor]:
            found = [best_of(queries, chunk) for chunk in whole]
            found += [_chunked(queries, chunk, min(k, len(chunk)), rows) for chunk in rest]
            last = torch.cat([scores for scores, _ in found], 1).topk(k, dim=1)
            ids = torch.cat([ids + at * rows for at, (_, ids) in enumerate(found)], 1)
            return last.values, ids.gather(1, last.indices)

        return call

    return (
        provider(site, "headrace", "headrace", ours),
        provider(site, "torch", "peer", eager),
        provider(site, "torch, TF32", "peer", tensor_cores),
        provider(site, COMPILED, "peer", compile_it),
        replace(
            provider(site, "cupy", "peer", _cupy, needs=("cupy",)),
            serves=lambda case: int(case.params["batch"] or 0) <= 64,
            why="its argpartition sorts every score, which takes seconds",
        ),
    )


def _in_tf32(call: Call) -> Any:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        return call()
    finally:
        torch.set_float32_matmul_precision(before)


def _cupy(inputs: Inputs) -> Call:
    import cupy

    queries, items, k = inputs
    q, x = cupy.from_dlpack(queries), cupy.from_dlpack(items)
    rows = max(k, _rows(queries) // 4)  # argpartition sorts, in memory of its own

    def call() -> tuple[Tensor, Tensor]:
        scores, ids = [], []
        for start in range(0, len(x), rows):
            product = q @ x[start : start + rows].T
            best = cupy.argpartition(-product, min(k, product.shape[1]) - 1, axis=1)[:, :k]
            scores.append(cupy.take_along_axis(product, best, axis=1))
            ids.append(best + start)
        every, places = cupy.concatenate(scores, 1), cupy.concatenate(ids, 1)
        order = cupy.argsort(-every, axis=1)[:, :k]
        found = (cupy.take_along_axis(every, order, axis=1), cupy.take_along_axis(places, order, axis=1))
        return torch.utils.dlpack.from_dlpack(found[0]), torch.utils.dlpack.from_dlpack(found[1])

    return call


PART = Part(
    ("topk",),
    (
        Check("topk", "awkward sizes", awkward),
        Check("topk", "realistic size", realistic),
        Check("topk", "ties", ties),
        Check("topk", "extreme numbers", extremes),
        Check("topk", "masks", masks),
        Check("topk", "strided inputs", strided),
        Check("topk", "empty", empty),
        Check("topk", "not finite", not_finite),
    ),
    bench,
    weight=4.0,
)
