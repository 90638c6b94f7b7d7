"""Embedding bags on a GPU: against the reference, then beside torch's embedding_bag table by table."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag as torch_embedding_bag

from headrace.benchmarks.gpu.peers import COMPILED, compiled, provider
from headrace.benchmarks.gpu.site import Check, Part, Site, equal, refused
from headrace.benchmarks.harness.case import Bench, Call, Case, Wrong
from headrace.kernels.embedding_bag import EmbeddingTables, embedding_bag
from headrace.kernels.embedding_bag.work import work

DTYPES = ("float32", "bfloat16", "int8")
#: Tables float32 [rows, dim], indices of each, offsets int64 [B + 1] of each.
Inputs = tuple[list[Tensor], list[Tensor], list[Tensor]]


def _same(site: Site, dims: tuple[int, ...], rows: int, batch: int, longest: int) -> None:
    weights = [site.normal(rows + t, dim, seed=t) for t, dim in enumerate(dims)]
    offsets = site.offsets(site.integers(0, longest, len(dims) * batch, seed=90))
    indices = site.integers(0, rows, int(offsets[-1]), seed=91)
    factors = site.normal(len(indices), seed=92)
    for dtype in DTYPES:
        tables, sizes = EmbeddingTables(weights, dtype), EmbeddingTables([w.abs() for w in weights], dtype)
        for pooling, factor in (("sum", None), ("mean", None), ("sum", factors)):
            found, expected = (
                embedding_bag(tables, indices, offsets, pooling=pooling, weights=factor, backend=backend)
                for backend in ("gpu", "reference")
            )
            terms = embedding_bag(
                *(sizes, indices, offsets),
                pooling=pooling,
                weights=None if factor is None else factor.abs(),
                backend="reference",
            )
            # The documented bound, and what rounding the reference takes; `longest` is above the longest bag.
            _within(f"{dtype} {pooling}", found, expected, terms * (longest + 2) * 2.0**-24)


def _within(name: str, found: Tensor, expected: Tensor, bound: Tensor) -> None:
    error = (found.double() - expected).abs()
    if found.shape != expected.shape or not bool((error <= bound).all()):
        raise Wrong(f"{name}: off by up to {float(error.max()):.3g}, by more than float32 rounding explains")


def awkward(site: Site) -> str:
    _same(site, (1,), 3, 1, 2)
    _same(site, (1, 17, 64, 33), 6, 7, 5)
    _same(site, (16, site.size(500, 20)), 5, 3, 4)
    return f"{', '.join(DTYPES)}; sum, mean, weighted; empty bags"


def realistic(site: Site) -> str:
    batch, rows = site.size(4096, 6), site.size(100_000, 20)
    _same(site, (64,) * site.size(8, 2), rows, batch, 12)
    return f"B {batch}, {rows} rows a table, within float32 rounding"


def strided(site: Site) -> str:
    tables = EmbeddingTables([site.normal(9, 8)])
    indices, offsets = site.integers(0, 9, 40), site.offsets([3, 0, 17])
    found, expected = (
        embedding_bag(tables, given, offsets, backend="gpu") for given in (indices[::2], indices[::2].contiguous())
    )
    equal("pooled", found, expected)
    return "strided indices"


def empty(site: Site) -> str:
    tables = EmbeddingTables([site.normal(4, 8), site.normal(5, 3)], "bfloat16")
    none = site.integers(0, 1, 0)
    for offsets in (site.offsets([]), site.offsets([0] * 6)):
        found, expected = (embedding_bag(tables, none, offsets, backend=backend) for backend in ("gpu", "reference"))
        equal("pooled", found, expected)
    return "no bags, only empty bags"


def out_of_range(site: Site) -> str:
    weights = [site.normal(8, 4), site.normal(8, 5)]
    tables, offsets = EmbeddingTables(weights), site.offsets([1, 1, 1, 1])
    for index in (8, -1):
        indices = torch.tensor([0, 7, 7, index], device=site.device)
        words = f"indices: expected 0 to 7 in table 1, got {index} at position 3"
        refused(words, lambda indices=indices: embedding_bag(tables, indices, offsets, backend="gpu"))  # type: ignore[misc]
    weights[1][2, 2] = torch.nan
    refused("tables[1]: expected finite values", lambda: EmbeddingTables(weights))
    return "indices that are not there and NaN in a table are named"


def bench(site: Site) -> Bench:
    """26 tables of a million rows of 64 float32 values, fewer where the memory does not hold them five times."""
    count, dim, batch, mean = site.size(26, 3), site.size(64, 8), site.size(4096, 5), site.size(10, 2)
    rows = site.size(min(1_000_000, int(site.memory / (5 * 4 * 64 * 26))), 30)

    def inputs() -> Inputs:
        tables = [site.normal(rows, dim, seed=t) for t in range(count)]
        offsets = [site.offsets(site.integers(0, 2 * mean + 1, batch, seed=t)) for t in range(count)]
        indices = [site.integers(0, rows, int(o[-1]), seed=100 + t) for t, o in enumerate(offsets)]
        return tables, indices, offsets

    lookups = [mean * batch] * count
    params = {"tables": count, "rows": rows, "dim": dim, "batch": batch, "mean": mean}
    name = f"T{count} N{rows / 1e6:.3g}M d{dim} B{batch} bag {mean}"
    case = Case("embedding_bag", name, dict(params), inputs, _check, work(batch, lookups, [dim] * count))
    providers = (
        provider(site, "headrace", "headrace", _ours),
        provider(site, "torch", "peer", lambda given: _by_table(given, _pool)),
        provider(site, COMPILED, "peer", lambda given: _by_table(given, compiled(site, _pool))),
        provider(site, "cupy", "peer", _cupy, needs=("cupy",)),
    )
    return Bench("embedding_bag", "embedding bags", (case,), providers)


def _check(given: Inputs, answer: Any) -> str:
    """Every pooled row against float64 sums, within (n + 2) 2^-24 times the sum of the absolute terms."""
    right, bound = [], []
    for table, indices, offsets in zip(*given, strict=True):
        terms = table[indices].double()
        counts = offsets.diff()
        bag = torch.repeat_interleave(torch.arange(len(counts), device=terms.device), counts)
        total = terms.new_zeros(len(counts), terms.shape[1])
        right.append(total.index_add(0, bag, terms))
        bound.append(total.index_add(0, bag, terms.abs()) * (counts[:, None] + 2) * 2.0**-24)
    error = (answer - torch.cat(right, 1)).abs()
    if not bool((error <= torch.cat(bound, 1)).all()):
        raise Wrong(f"off by up to {float(error.max()):.3g}")
    return "exact within float32 rounding"


def _ours(given: Inputs) -> Call:
    weights, indices, offsets = given
    tables = EmbeddingTables(weights)
    starts = torch.tensor([0, *(len(i) for i in indices)]).cumsum(0).tolist()
    bounds = [o[:-1] + start for o, start in zip(offsets, starts, strict=False)]
    joined = torch.cat([*bounds, offsets[-1][-1:] + starts[-2]])
    together = torch.cat(indices)
    return lambda: embedding_bag(tables, together, joined, backend="gpu")


def _pool(tables: list[Tensor], indices: list[Tensor], offsets: list[Tensor]) -> Tensor:
    rows = zip(tables, indices, offsets, strict=True)
    return torch.cat([torch_embedding_bag(i, t, o, mode="sum", include_last_offset=True) for t, i, o in rows], 1)


def _by_table(given: Inputs, pool: Any) -> Call:
    return lambda: pool(*given)


def _cupy(given: Inputs) -> Call:
    """Each table's bags as a sparse matrix of ones, times the table."""
    import cupy
    from cupyx.scipy.sparse import csr_matrix

    # By columns, as cuSPARSE wants its right factor: else each product would copy the table.
    tables = [cupy.asfortranarray(cupy.from_dlpack(table)) for table in given[0]]
    bags = []
    for table, indices, offsets in zip(tables, *given[1:], strict=True):
        index, bounds = (cupy.from_dlpack(part.int()) for part in (indices, offsets))
        ones = cupy.ones(len(index), cupy.float32)
        bags.append(csr_matrix((ones, index, bounds), shape=(len(bounds) - 1, len(table))))

    def call() -> Tensor:
        return torch.utils.dlpack.from_dlpack(
            cupy.concatenate([bag @ table for bag, table in zip(bags, tables, strict=True)], 1)
        )

    return call


PART = Part(
    ("embedding_bag",),
    (
        Check("embedding_bag", "awkward sizes", awkward),
        Check("embedding_bag", "realistic size", realistic),
        Check("embedding_bag", "strided inputs", strided),
        Check("embedding_bag", "empty", empty),
        Check("embedding_bag", "out of range", out_of_range),
    ),
    bench,
)
