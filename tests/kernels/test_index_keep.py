"""Where the vectors that decide live: in memory, in a file, or only as packed numbers."""

from __future__ import annotations

import os
import struct
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from topk_vectors import ends_of_float32, normal
from torch import Tensor

from headrace.kernels import settings
from headrace.kernels.index import TopKIndex, storage
from headrace.kernels.index.blocks import SUM, blocks_of
from headrace.kernels.topk import METRICS, topk
from headrace.kernels.topk.packed import packed_bytes

SCANS = ("bfloat16", "int8")


def duplicates(n: int, dim: int) -> Tensor:
    return normal(5, dim, seed=9)[torch.arange(n) * 7 % 5]


def bits(allowed: Tensor) -> Tensor:
    """Words of bool [..., N]."""
    padded = np.pad(allowed.numpy(), [(0, 0)] * (allowed.ndim - 1) + [(0, -allowed.shape[-1] % 64)])
    return torch.from_numpy(np.packbits(padded, axis=-1, bitorder="little").view(np.int64))


def rounded(items: Tensor, scan: str, metric: str) -> Tensor:
    """What the packed numbers stand for, from their definition."""
    values = items.double().numpy()
    if metric == "cosine":
        lengths = np.sqrt((values**2).sum(1, keepdims=True))
        values = values / np.where(lengths > 0, lengths, 1.0)
    if scan == "bfloat16":
        return torch.from_numpy(values.astype(np.float32)).bfloat16().float()
    greatest = (np.abs(values).max(1, keepdims=True) / 127).astype(np.float32)
    scale = (greatest.view(np.uint32) & np.uint32(0xFFFFFF80)).view(np.float32).astype(np.float64)
    numbers = np.clip(np.rint(values * np.where(scale > 0, 1 / np.where(scale > 0, scale, 1.0), 0.0)), -127, 127)
    return torch.from_numpy((scale * numbers).astype(np.float32))


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("metric", METRICS)
def test_truth_is_what_the_numbers_stand_for(metric: str, scan: str) -> None:
    items = normal(700, 37)
    index = TopKIndex(items, metric=metric, scan=scan, keep="none")
    assert torch.equal(index.truth, rounded(items, scan, metric))
    assert torch.equal(index.items, index.truth)
    assert (index.keep, index.found_by) == ("none", scan)
    if metric != "cosine":
        assert torch.equal(TopKIndex(index.truth, metric=metric, scan=scan, keep="none").truth, index.truth)


def check(index: TopKIndex, queries: Tensor, k: int, mask: Tensor | None = None) -> None:
    """Every instruction set, with one and with three threads."""
    expected, rows = topk(queries, index.truth, k, index.metric, mask, backend="reference")
    for isa, threads in product(settings.usable_isas(), (1, 3)):
        with settings.isa(isa):
            scores, found = index.search(queries, k, mask, backend="native", threads=threads)
        assert torch.equal(found, rows), (isa, threads)
        assert torch.equal(scores, expected), (isa, threads)


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 7, 3, 9), (5, 65, 17, 65), (16, 257, 33, 100), (97, 2100, 65, 20)])
def test_answers_are_exact_for_the_truth(shape: tuple[int, int, int, int], metric: str, scan: str) -> None:
    n_queries, n_items, dim, k = shape
    index = TopKIndex(normal(n_items, dim, seed=1), metric=metric, scan=scan, keep="none")
    check(index, normal(n_queries, dim), k)


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("data", [ends_of_float32, duplicates])
def test_awkward_vectors(data: object, metric: str, scan: str) -> None:
    items = data(1500, 24)  # type: ignore[operator]
    index = TopKIndex(items, metric=metric, scan=scan, keep="none")
    assert index.truth.isfinite().all()
    queries = torch.cat([items[:3], items[700:702], normal(2, 24, seed=2), torch.zeros(1, 24), 1e-41 * normal(1, 24)])
    check(index, queries, 60)
    few = bits(torch.rand(len(items), generator=torch.Generator().manual_seed(5)) < 0.05)
    check(index, queries, 60, few)


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("per_query", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.004, 0.1, 0.6, 1.0])
def test_masks(share: float, per_query: bool, scan: str) -> None:
    generator = torch.Generator().manual_seed(3)
    for n_queries, n_items in ((3, 65), (130, 1500)):
        index = TopKIndex(normal(n_items, 20, seed=1), scan=scan, keep="none")
        allowed = torch.rand(n_queries if per_query else 1, n_items, generator=generator) < share
        words = bits(allowed)
        check(index, normal(n_queries, 20), 12, words if per_query else words[0])


@pytest.mark.parametrize("metric", METRICS)
def test_the_reference_serves_packed_numbers(metric: str) -> None:
    index = TopKIndex(normal(300, 8), metric=metric, keep="none")
    expected = index.search(normal(2, 8), 5)
    for mine, theirs in zip(index.search(normal(2, 8), 5, backend="reference"), expected, strict=True):
        assert torch.equal(mine, theirs)


def test_the_certificate_is_tighter_where_items_are_not_rounded() -> None:
    items, queries = normal(20000, 64), normal(8, 64, seed=1)
    both = TopKIndex(items, scan="int8").search_counted(queries, 100)[2]
    alone = TopKIndex(items, keep="none").search_counted(queries, 100)[2]
    assert both is not None
    assert alone is not None
    assert alone.rescored < both.rescored


@pytest.mark.parametrize("metric", METRICS)
def test_int8_alone_takes_less_than_three_tenths(metric: str) -> None:
    items = normal(25_600, 64)
    assert TopKIndex(items, metric=metric, scan="int8", keep="none").nbytes <= 0.3 * items.nbytes


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("metric", METRICS)
def test_files_without_vectors(tmp_path: Path, metric: str, scan: str, mmap: bool) -> None:
    index = TopKIndex(normal(600, 7), None, metric, scan, "none")
    index.add(normal(400, 7, seed=2), torch.arange(5000, 5400))
    index.remove(torch.arange(10, 5100)[::60][:10])
    index.save(tmp_path / "index")
    again = TopKIndex.load(tmp_path / "index", mmap=mmap)
    assert (again.keep, again.scan, len(again)) == ("none", scan, len(index))
    assert (again.nbytes == 0) == mmap
    queries = normal(3, 7, seed=1)
    for changed in (False, True):
        if changed:
            for one in (index, again):
                one.upsert(normal(50, 7, seed=3), torch.arange(590, 640))
                one.remove(torch.arange(600, 620))
        for mine, theirs in zip(again.search(queries, 80), index.search(queries, 80), strict=True):
            assert torch.equal(mine, theirs)


@pytest.mark.parametrize("scan", ["float32", "int8"])
def test_vectors_in_a_file(tmp_path: Path, scan: str) -> None:
    path, items = tmp_path / "index", normal(900, 8)
    ids = torch.randperm(900, generator=torch.Generator().manual_seed(1)) + 7
    index, plain = TopKIndex(items, ids, scan=scan, keep="mmap", path=path), TopKIndex(items, ids, scan=scan)
    before = path.read_bytes()
    assert (index.keep, index.nbytes) == ("mmap", 0)
    queries = normal(4, 8, seed=1)
    for step in range(3):
        for one in (index, plain):
            if step == 1:
                one.add(normal(90, 8, seed=2), torch.arange(2000, 2090))
                one.remove(torch.arange(7, 700))
            if step == 2:
                one.upsert(normal(9, 8, seed=3), torch.arange(700, 709))
        for mine, theirs in zip(index.search(queries, 100), plain.search(queries, 100), strict=True):
            assert torch.equal(mine, theirs)
    assert path.read_bytes() == before
    assert index.nbytes < plain.nbytes
    index.save(path)  # over the file it is mapped from
    for mine, theirs in zip(TopKIndex.load(path).search(queries, 300), plain.search(queries, 300), strict=True):
        assert torch.equal(mine, theirs)
    assert torch.equal(index.search(queries, 9)[1], plain.search(queries, 9)[1])


def test_a_keep_that_cannot_be_written_makes_no_index(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        TopKIndex(normal(3, 2), keep="mmap", path=tmp_path / "absent" / "index")


def test_removed_items_are_not_in_the_file(tmp_path: Path) -> None:
    for scan, keep in (("int8", "memory"), ("float32", "memory"), ("int8", "none")):
        index, fresh = (TopKIndex(normal(700, 6), None, "cosine", scan, keep) for _ in range(2))
        index.remove(torch.arange(600, 700))
        index.save(tmp_path / "less")
        TopKIndex(normal(700, 6)[:600], None, "cosine", scan, keep).save(tmp_path / "fresh")
        assert (tmp_path / "less").read_bytes() == (tmp_path / "fresh").read_bytes()
        del fresh


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index"
    TopKIndex(normal(9, 4), scan="int8").save(path)
    good = path.read_bytes()
    for entry in ((0, 0, 2), (9, -2, 2), (9, 0, 3), (2**31, 0, 2), (10**6, 0, 2), (9, -1, 2)):
        path.write_bytes(good[:128] + storage.ENTRY.pack(*entry) + good[160:])
        with pytest.raises(ValueError, match=str(path)):
            TopKIndex.load(path)


def resident() -> int:
    """Bytes of memory in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux for the memory in use")
def test_a_large_file_is_not_read_to_open_it(tmp_path: Path) -> None:
    path, rows, dim = tmp_path / "index", 40_000_000, 64
    TopKIndex(normal(256, dim), keep="none").save(path)
    with open(path, "r+b") as file:  # as if 40 million items followed; the file has a hole there
        file.seek(storage.HEAD.size)
        file.write(struct.pack("<Q", rows))
        body = 64 + packed_bytes(rows, dim, "ip", "int8")
        file.truncate(storage.HEAD.size + body + blocks_of(body) * SUM)
    before = resident()
    index = TopKIndex.load(path, verify=False)
    assert len(index) == rows
    allowed = torch.zeros((rows + 63) // 64, dtype=torch.int64)
    allowed[:4] = -1
    expected = TopKIndex(normal(256, dim), keep="none").search(normal(2, dim, seed=1), 9)
    for mine, theirs in zip(index.search(normal(2, dim, seed=1), 9, allowed), expected, strict=True):
        assert torch.equal(mine, theirs)
    assert resident() - before < 2**26


@pytest.mark.parametrize("keep", ["memory", "none"])
def test_the_largest_k_and_dim(keep: str) -> None:
    many = TopKIndex(normal(6000, 8), scan="int8", keep=keep)
    check(many, normal(2, 8, seed=1), 4096)
    wide = TopKIndex(normal(600, 2048), scan="int8", keep=keep)
    check(wide, normal(5, 2048, seed=1), 20)
