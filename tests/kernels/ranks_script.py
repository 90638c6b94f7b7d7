"""What each rank does in the tests of top-k over `torch.distributed`. It runs in processes of its own."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
import torch
import torch.distributed as dist
from shards_oracle import DIM, assert_same, check_all, integers, some_ids

from headrace.kernels.index import TopKIndex
from headrace.kernels.sharded.ranks import TopKRanks
from headrace.kernels.sharded.shards import TopKShards
from headrace.kernels.topk import METRICS


def run(rank: int, sizes: tuple[int, ...], store: str) -> None:
    """sizes: items of each rank."""
    limit = datetime.timedelta(seconds=60)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=len(sizes), timeout=limit)
    try:
        for metric in METRICS:
            check_answers(rank, sizes, metric)
        check_failures(rank, sizes)
    finally:
        dist.destroy_process_group()


def check_answers(rank: int, sizes: tuple[int, ...], metric: str) -> None:
    items, ids = integers(sum(sizes), DIM, seed=1), some_ids(sum(sizes))
    parts = [TopKIndex(*part, metric) for part in zip(items.split(sizes), ids.split(sizes), strict=True)]
    check_all(TopKRanks(parts[rank]), TopKShards(parts).ids, TopKIndex(items, ids, metric))


def check_failures(rank: int, sizes: tuple[int, ...]) -> None:
    """Each is an error on every rank, and the search after it works."""
    here, last = rank == len(sizes) - 1, len(sizes) - 1
    items = integers(100 * len(sizes), DIM, seed=1)
    part = slice(100 * rank, 100 * (rank + 1))
    index = TopKIndex(items[part], torch.arange(items.shape[0])[part])
    ranks, whole = TopKRanks(index), TopKIndex(items)
    queries = integers(4, DIM, seed=2)
    nan = queries.clone()
    nan[2, 0] = torch.nan

    def fails(error: type[Exception], match: str, *arguments: object) -> None:
        expected = (error, match) if here else (RuntimeError, f"rank {last}: {error.__name__}: {match}")
        with pytest.raises(expected[0], match=expected[1]):
            ranks.search(*(arguments if here else (queries, 3)))  # type: ignore[arg-type]
        assert_same(ranks.search(queries, 3), whole.search(queries, 3))

    fails(ValueError, "queries: expected finite.* row 2", nan, 3)
    fails(ValueError, "k: expected at least 1, got 0", queries, 0)
    fails(TypeError, "queries: expected float32, got int64", queries.long(), 3)
    assert all(isinstance(part, np.ndarray) for part in ranks.search(queries.double().numpy(), 3))
    fails(ValueError, r"mask: expected shape", queries, 3, torch.zeros(1, dtype=torch.int64))
    if len(sizes) > 1:
        for match, arguments in (
            ("search: expected the same k on every rank", (queries, 3 + here)),
            ("search: expected as many queries on every rank", (queries[here:], 3)),
            ("search: expected the same queries on every rank", (queries + here, 3)),
        ):
            with pytest.raises(ValueError, match=match):
                ranks.search(*arguments)
        with pytest.raises(ValueError, match="index: expected the same dimension on every rank"):
            TopKRanks(TopKIndex(torch.ones(1, 3 + here)))
        with pytest.raises(ValueError, match="index: expected the same metric on every rank"):
            TopKRanks(TopKIndex(torch.ones(1, 3), metric=METRICS[here]))
    if here:
        index.add(integers(64, DIM, seed=5), torch.arange(1000, 1064))
    words = torch.zeros(2 * len(sizes), dtype=torch.int64)
    with pytest.raises(ValueError if here else RuntimeError, match="mask: expected an index of 2 words"):
        ranks.search(queries, 3, words)
