"""Pooled look-ups in many tables beside torch's own, table by table and as modules, and FBGEMM's batched tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from headrace.benchmarks.harness.case import Bench, Call, Case, Near, Provider, Wrong
from headrace.benchmarks.harness.curves import THREADS, curves
from headrace.benchmarks.harness.keep import keep
from headrace.benchmarks.peers import embedding_fbgemm
from headrace.kernels import EmbeddingTables, embedding_bag
from headrace.kernels.embedding_bag.work import work

TABLES, ROWS, DIM = 26, 100_000, 64
BASE = {"batch": 64, "length": 20}
AXES = {"batch": (1, 16, 64, 256, 1024, 4096), "length": (1, 20, 100), "threads": THREADS}
CHECKED = 16
#: How far one value may lie from its float32 row's, as a share of the row's largest: the rounding of the format.
STEP = {"float32": 0.0, "bfloat16": 2.0**-8, "int8": 0.5 / 127}


@dataclass(frozen=True)
class Bags:
    """tables: float32 [rows, dim] each. indices int64, table by table, `length` for each of the `batch` bags."""

    tables: list[Tensor]
    indices: Tensor
    batch: int
    length: int
    dtype: str

    @property
    def offsets(self) -> Tensor:
        """int64 [tables * batch + 1]."""
        return torch.arange(len(self.tables) * self.batch + 1) * self.length

    @property
    def by_table(self) -> list[Tensor]:
        """int64 [batch, length] for each table."""
        return [part.view(-1, self.length) for part in self.indices.split(self.batch * self.length)]

    @cached_property
    def checked(self) -> NDArray[np.int64]:
        return np.unique(np.linspace(0, self.batch - 1, CHECKED).astype(int))

    @cached_property
    def truth(self) -> tuple[Tensor, Tensor]:
        """float64 [checked, tables * dim]: the pooled rows in float64, and how far the answer may lie off."""
        pooled, slack = [], []
        for table, indices in zip(self.tables, self.by_table, strict=True):
            rows = table[indices[self.checked]].double()
            largest = rows.abs().amax(2, keepdim=True).expand_as(rows)
            pooled.append(rows.sum(1))
            rounding = (self.length + 2) * 2.0**-24
            slack.append(rounding * rows.abs().sum(1) + 1.001 * STEP[self.dtype] * largest.sum(1))
        return torch.cat(pooled, 1), torch.cat(slack, 1)


@keep()
def make_tables(tables: int, rows: int, dim: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(rows, dim, generator=generator) for _ in range(tables)]


@keep(3)
def packed(tables: int, rows: int, dim: int, dtype: str) -> EmbeddingTables:
    return EmbeddingTables(make_tables(tables, rows, dim), dtype)


def make_bags(batch: int, length: int, dtype: str, rows: int) -> Bags:
    generator = torch.Generator().manual_seed(1)
    indices = torch.randint(0, rows, (TABLES * batch * length,), generator=generator)
    return Bags(make_tables(TABLES, rows, DIM), indices, batch, length, dtype)


def check(bags: Bags, answer: Any) -> str:
    if not isinstance(answer, Tensor) or answer.shape != (bags.batch, len(bags.tables) * DIM):
        raise Wrong(f"expected float32 [{bags.batch}, {len(bags.tables) * DIM}]")
    pooled, slack = bags.truth
    error = (answer[bags.checked].double() - pooled).abs()
    worst = float((error / slack).max())
    if worst <= 1:
        return "within float32 rounding" if bags.dtype == "float32" else f"within {bags.dtype} rounding"
    if not worst <= 3:
        raise Wrong(f"off by {worst:.1f} times what {bags.dtype} rows may be")
    return Near(float((error <= slack).double().mean()), f"of values within {bags.dtype} rounding")


def prepare_headrace(bags: Bags, case: Case, backend: str) -> Call:
    tables = packed(len(bags.tables), len(bags.tables[0]), DIM, bags.dtype)
    offsets = bags.offsets
    return lambda: embedding_bag(tables, bags.indices, offsets, backend=backend)


def prepare_torch(bags: Bags, case: Case) -> Call:
    """`functional.embedding_bag` for each table, with the batch as a matrix of ids."""
    tables = [table.to(getattr(torch, bags.dtype)) for table in bags.tables]
    indices = bags.by_table

    def call() -> Tensor:
        with torch.inference_mode():
            each = zip(indices, tables, strict=True)
            return torch.cat([functional.embedding_bag(ids, table, mode="sum") for ids, table in each], 1).float()

    return call


def prepare_module(bags: Bags, case: Case) -> Call:
    """One `nn.EmbeddingBag` over all tables, one below the other: a single call, ids shifted to their table."""
    bag = nn.EmbeddingBag.from_pretrained(torch.cat(bags.tables), mode="sum", include_last_offset=True)
    lengths = bags.batch * bags.length
    first = torch.arange(len(bags.tables)).mul(len(bags.tables[0])).repeat_interleave(lengths)
    offsets = bags.offsets

    def call() -> Tensor:
        with torch.inference_mode():
            pooled: Tensor = bag(bags.indices + first, offsets)
            return pooled.view(len(bags.tables), bags.batch, DIM).transpose(0, 1).reshape(bags.batch, -1)

    return call


def prepare_fbgemm(bags: Bags, case: Case) -> Call:
    return embedding_fbgemm.pooled(bags.tables, bags.indices, bags.offsets, bags.dtype)


def _case(batch: int, length: int, dtype: str = "float32", rows: int = ROWS) -> Case:
    lookups = [batch * length] * TABLES
    return Case(
        op="embedding_bag",
        name=f"B{batch} {TABLES} tables x {length} ids, {dtype}" + (f", {rows} rows" if rows != ROWS else ""),
        params={"batch": batch, "length": length, "tables": TABLES, "rows": rows, "dim": DIM, "dtype": dtype},
        inputs=partial(make_bags, batch, length, dtype, rows),
        check=check,
        work=work(batch, lookups, [DIM] * TABLES, dtype),
    )


def _small(case: Case) -> bool:
    return case.params["batch"] == 1 and case.axis is None


def _float32(case: Case) -> bool:
    return case.params["dtype"] == "float32"


def _floats(case: Case) -> bool:
    return case.params["dtype"] != "int8"


_QUICK = [(1, 20, "float32"), (64, 20, "float32"), (256, 1, "float32"), (2048, 20, "float32")]
_QUICK += [(64, 20, "bfloat16"), (2048, 20, "int8")]
_FULL = [(2048, 20, "bfloat16"), (64, 20, "int8"), (1, 20, "bfloat16"), (1, 20, "int8")]

BENCH = Bench(
    "embedding_bag",
    "Embedding bags of many tables",
    cases=(
        *(_case(*sizes) for sizes in _QUICK),
        *(replace(_case(*sizes), suites=("full",)) for sizes in _FULL),
        *curves(_case, BASE, AXES),
    ),
    providers=(
        Provider("headrace", "headrace", partial(prepare_headrace, backend="auto")),
        Provider("reference", "reference", partial(prepare_headrace, backend="reference"), (), _small, "too slow"),
        Provider("FBGEMM", "peer", prepare_fbgemm, ("fbgemm_gpu",)),
        Provider("torch", "peer", prepare_torch, (), _floats, "torch has no pooled int8 rows"),
        Provider("torch nn.EmbeddingBag", "peer", prepare_module, (), _float32, "float32 only"),
    ),
)
