"""Embedding bags of 26 tables beside torch's own, table by table. Answers are checked first."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from headrace.kernels.embedding_bag import EmbeddingTables, embedding_bag

Fixture = Any
TABLES, ROWS, DIM = 26, 100_000, 64
PROVIDERS = ("torch", "float32", "bfloat16", "int8")


@pytest.fixture(scope="module")
def weights() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(ROWS, DIM, generator=generator) for _ in range(TABLES)]


@pytest.fixture(scope="module")
def tables(weights: list[torch.Tensor]) -> dict[str, EmbeddingTables]:
    return {dtype: EmbeddingTables(weights, dtype) for dtype in PROVIDERS[1:]}


def per_table(weights: list[torch.Tensor], indices: torch.Tensor, batch: int, length: int) -> torch.Tensor:
    """What a user of torch writes."""
    offsets = torch.arange(batch + 1) * length
    parts = [
        functional.embedding_bag(index, weight, offsets, mode="sum", include_last_offset=True)
        for index, weight in zip(indices.split(batch * length), weights, strict=True)
    ]
    return torch.cat(parts, 1)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(("batch", "length"), [(1, 20), (64, 20), (256, 1), (2048, 20)])
def bench_pool(
    benchmark: Fixture,
    weights: list[torch.Tensor],
    tables: dict[str, EmbeddingTables],
    provider: str,
    batch: int,
    length: int,
    threads: int,
) -> None:
    generator = torch.Generator().manual_seed(batch + length)
    lookups = TABLES * batch * length
    sets = [torch.randint(0, ROWS, (lookups,), generator=generator) for _ in range(5)]
    offsets = torch.arange(TABLES * batch + 1) * length
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    turn = iter(range(10**9))
    try:
        with torch.inference_mode():
            expected = per_table(weights, sets[0], batch, length)
            if provider == "torch":
                call = lambda: per_table(weights, sets[next(turn) % 5], batch, length)  # noqa: E731
            else:
                rows = tables[provider]
                error = {"float32": 1e-5, "bfloat16": 0.1, "int8": 0.2}[provider]
                got = embedding_bag(rows, sets[0], offsets)
                torch.testing.assert_close(got, expected, rtol=1e-5, atol=error * max(1, length**0.5 / 2))
                call = lambda: embedding_bag(rows, sets[next(turn) % 5], offsets, threads=threads)  # noqa: E731
            benchmark.pedantic(call, rounds=7, iterations=1, warmup_rounds=1)
    finally:
        torch.set_num_threads(before)
    size = {"torch": 4, "float32": 4, "bfloat16": 2, "int8": 1}[provider]
    rate = lookups * DIM * size / benchmark.stats["median"] / 1e9
    benchmark.extra_info.update({"provider": provider, "unit": "GB/s of rows", "median": rate, "threads": threads})
