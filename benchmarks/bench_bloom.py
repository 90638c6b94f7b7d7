"""Bloom filter banks at the funnel's sizes, beside plain torch, Python sets and np.isin. Answers are checked first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from headrace.kernels.bloom import bloom_contains, bloom_insert, bloom_size

Fixture = Any
USERS, SEEN, CANDIDATES = 64, 3000, 3000


@pytest.fixture(scope="module")
def requests() -> dict[str, torch.Tensor | int]:
    """64 users with 3,000 items seen each, and 3,000 candidates each, none of them seen."""
    generator = torch.Generator().manual_seed(0)
    shown = torch.randint(0, 10**6, (USERS, SEEN), generator=generator)
    candidates = torch.randint(10**6, 2 * 10**6, (USERS, CANDIDATES), generator=generator)
    words, hashes = bloom_size(SEEN, 0.01)
    bits = torch.zeros(USERS, words, dtype=torch.uint64)
    rows = torch.arange(USERS).repeat_interleave(SEEN)
    bloom_insert(bits, rows, shown.flatten(), hashes)
    return {"shown": shown, "candidates": candidates, "bits": bits, "rows": rows, "hashes": hashes}


def timed(benchmark: Fixture, call: Callable[[], Any], pairs: int, **info: object) -> None:
    benchmark.pedantic(call, rounds=3 if info["provider"] == "reference" else 20, iterations=1, warmup_rounds=1)
    benchmark.extra_info.update({"unit": "M pairs/s", "median": pairs / benchmark.stats["median"] / 1e6, **info})


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("threads", [1, 2])
def bench_contains(benchmark: Fixture, requests: dict[str, Any], backend: str, threads: int) -> None:
    bits, rows, keys, hashes = requests["bits"], requests["rows"], requests["candidates"].flatten(), requests["hashes"]
    assert bool(bloom_contains(bits, rows, requests["shown"].flatten(), hashes, backend=backend).all())
    assert float(bloom_contains(bits, rows, keys, hashes, backend=backend).float().mean()) < 0.0125
    timed(
        benchmark,
        lambda: bloom_contains(bits, rows, keys, hashes, backend=backend, threads=threads),
        len(keys),
        provider=backend,
        threads=threads,
    )


@pytest.mark.parametrize("backend", ["reference", "native"])
def bench_insert(benchmark: Fixture, requests: dict[str, Any], backend: str) -> None:
    bits, rows, keys, hashes = requests["bits"], requests["rows"], requests["shown"].flatten(), requests["hashes"]
    fresh = torch.zeros_like(bits.view(torch.int64)).view(torch.uint64)
    bloom_insert(fresh, rows, keys, hashes, backend=backend)
    assert torch.equal(fresh.view(torch.int64), bits.view(torch.int64))

    def call() -> None:
        fresh.view(torch.int64).zero_()
        bloom_insert(fresh, rows, keys, hashes, backend=backend, threads=1)

    timed(benchmark, call, len(keys), provider=backend, threads=1)


def bench_contains_python_set(benchmark: Fixture, requests: dict[str, Any]) -> None:
    sets = [set(row) for row in requests["shown"].tolist()]
    lists = requests["candidates"].tolist()
    call = lambda: [[item in seen for item in items] for seen, items in zip(sets, lists, strict=True)]  # noqa: E731
    timed(benchmark, call, USERS * CANDIDATES, provider="python set", threads=1)


def bench_contains_isin(benchmark: Fixture, requests: dict[str, Any]) -> None:
    shown, candidates = requests["shown"].numpy(), requests["candidates"].numpy()
    call = lambda: [np.isin(c, s) for c, s in zip(candidates, shown, strict=True)]  # noqa: E731
    timed(benchmark, call, USERS * CANDIDATES, provider="np.isin", threads=1)


@pytest.mark.parametrize("backend", ["reference", "native"])
def bench_big_bank(benchmark: Fixture, backend: str) -> None:
    """A million users with small filters (128 MB), pairs at random: bound by memory latency."""
    generator = torch.Generator().manual_seed(1)
    bits = torch.zeros(1_000_000, 16, dtype=torch.int64)
    rows = torch.randint(0, 1_000_000, (200_000,), generator=generator)
    keys = torch.randint(0, 10**6, (200_000,), generator=generator)
    bloom_insert(bits, rows, keys, 8)
    assert bool(bloom_contains(bits, rows, keys, 8, backend=backend).all())
    sets = [torch.randint(0, 1_000_000, (200_000,), generator=generator) for _ in range(8)]
    turn = iter(range(10**9))
    timed(
        benchmark,
        lambda: bloom_contains(bits, sets[next(turn) % 8], keys, 8, backend=backend, threads=1),
        len(keys),
        provider=backend,
        threads=1,
    )
