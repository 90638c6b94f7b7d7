"""Exact top-k on a GPU: against the reference, then beside matrix product and torch.topk in chunks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from headrace.benchmarks.gpu.peers import COMPILED, compiled, provider, told
from headrace.benchmarks.gpu.site import Part, Site
from headrace.benchmarks.gpu.topk_checks import CHECKS, PACKED, pack, search_packed
from headrace.benchmarks.harness.case import Bench, Call, Case, Provider, Wrong
from headrace.kernels.topk import topk
from headrace.kernels.topk.work import packed_work, work
from headrace.kernels.work import Work

#: A ranking in low precision swaps near ties, in bfloat16 many; fewer right ids than this is another answer.
LEAST_RIGHT = 0.5
Inputs = tuple[Tensor, Tensor, int]


def bench(site: Site) -> Bench:
    """10M items of 128 dimensions, fewer where the memory does not hold them five times."""
    items = site.size(min(10_000_000, int(site.memory / (5 * 4 * 128))), 200)
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

    def packed(inputs: Inputs, scan: str) -> Call:
        queries, items, k = inputs
        data = pack(items, "ip", scan)
        return lambda: search_packed(queries, items, data, k, "ip", scan)

    def bfloat16(inputs: Inputs) -> Call:
        queries, items, k = inputs
        short_queries, short_items = queries.bfloat16(), items.bfloat16()
        return lambda: _chunked(short_queries, short_items, k, _rows(queries))

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
        *(
            replace(
                provider(site, f"headrace, {scan}", "headrace", partial(packed, scan=scan)),
                work=partial(_packed_work, scan=scan),
            )
            for scan in PACKED
        ),
        provider(site, "torch", "peer", eager),
        provider(site, "torch, TF32", "peer", tensor_cores),
        replace(provider(site, "torch, bfloat16", "peer", bfloat16), work=partial(_packed_work, scan="bfloat16")),
        provider(site, COMPILED, "peer", compile_it),
        replace(
            provider(site, "cupy", "peer", _cupy, needs=("cupy",)),
            serves=lambda case: int(case.params["batch"] or 0) <= 64,
            why="its argpartition sorts every score, which takes seconds",
        ),
    )


def _packed_work(case: Case, scan: str) -> Work:
    batch, items, dim, k = (int(case.params[name] or 0) for name in ("batch", "items", "dim", "k"))
    # As packed: a float32 scale beside each row of int8.
    size = items * (2 * dim if scan == "bfloat16" else dim + 4)
    return packed_work(batch, items, dim, k, scan, size)


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
    ("topk", "topk_packed"),
    CHECKS,
    bench,
    weight=4.0,
)
