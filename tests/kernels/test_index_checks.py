"""Files of an index that time or people damage: found at load, or at the next call, never answered from."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from topk_vectors import normal

from headrace.kernels import settings
from headrace.kernels.index import TopKIndex
from headrace.kernels.index.blocks import BLOCK, Sums, blocks_of, read_blocks
from headrace.kernels.sharded import TopKProcesses, TopKShards, save_shards, shard_paths


@pytest.fixture
def threads() -> object:
    before = settings.get_threads()
    yield settings.set_threads
    settings.set_threads(before)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("size", [0, 1, BLOCK, BLOCK + 1, 4 * BLOCK - 1])
def test_blocks_find_every_flip(tmp_path: Path, size: int, count: int, threads: Callable[[int], None]) -> None:
    threads(count)
    draw = random.Random(size)
    content, sums = draw.randbytes(size), Sums()
    for start in range(0, size, 700_001):
        sums.add(content[start : start + 700_001])
    table = sums.table()
    assert len(table) == 4 * blocks_of(size)
    for at in [None, *{0, size // 2, size - 1}] if size else [None]:
        damaged = bytearray(b"head" + content)
        if at is not None:
            damaged[4 + at] ^= 1 << draw.randrange(8)
        (tmp_path / "file").write_bytes(damaged)
        room = bytearray(size)
        with open(tmp_path / "file", "rb") as file:
            expected = None if at is None else 4 + at // BLOCK * BLOCK
            assert read_blocks(file.fileno(), 4, size, table, None) == expected
            assert read_blocks(file.fileno(), 4, size, table, memoryview(room)) == expected
            assert read_blocks(file.fileno(), 4, size, None, memoryview(room)) is None
        assert room == damaged[4:]


def test_a_file_that_ends_early_is_a_bad_block(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(BLOCK + 10))
    with open(tmp_path / "file", "rb") as file:
        assert read_blocks(file.fileno(), 0, BLOCK + 11, None, None) == BLOCK


def test_a_large_index_with_one_flip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index"
    TopKIndex(normal(20_000, 32), scan="int8").save(path)
    good, queries = path.read_bytes(), normal(3, 32, seed=1)
    expected = TopKIndex(normal(20_000, 32), scan="int8").search(queries, 9)
    for mmap in (True, False):
        for mine, theirs in zip(TopKIndex.load(path, mmap).search(queries, 9), expected, strict=True):
            assert torch.equal(mine, theirs)
    for at in (200, BLOCK + 128, len(good) // 2, len(good) - 500, len(good) - 1):
        path.write_bytes(good[:at] + bytes([good[at] ^ 64]) + good[at + 1 :])
        for mmap in (True, False):
            with pytest.raises(ValueError, match=f"{path}: checksum .*does not match"):
                TopKIndex.load(path, mmap)


CHANGES: dict[str, Callable[[Path], object]] = {
    "cut short": lambda path: os.truncate(path, 4096),
    "emptied": lambda path: os.truncate(path, 0),
    "lengthened": lambda path: os.truncate(path, os.path.getsize(path) + 1),
    "overwritten": lambda path: shutil.copyfile(path.with_name("other"), path),
}


@pytest.mark.parametrize("keep", ["memory", "mmap", "none"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_mapped_file_that_is_changed_in_place_is_not_read(tmp_path: Path, change: str, keep: str) -> None:
    path, other = tmp_path / "index", tmp_path / "other"
    ids = torch.arange(3000) * 7
    index = TopKIndex(normal(3000, 16), ids, keep=keep, path=path if keep == "mmap" else None)
    if keep != "mmap":
        index.save(path)
        index = TopKIndex.load(path)
    TopKIndex(normal(3000, 16, seed=5), ids, keep="none" if keep == "none" else "memory").save(other)
    index.add(normal(5, 16), torch.arange(5) * 7 + 1)
    untouched = index.copy()
    CHANGES[change](path)
    for call in (
        lambda: index.search(normal(2, 16), 9),
        lambda: index.mask(ids[:2]),
        lambda: index.ids,
        lambda: index.truth,
        lambda: index.add(normal(1, 16), torch.tensor([3])),
        lambda: index.upsert(normal(1, 16), torch.tensor([7])),
        lambda: index.remove(ids[:1]),
        lambda: index.save(tmp_path / "again"),
        lambda: untouched.search(normal(2, 16), 9),
        lambda: TopKShards([untouched]),
    ):
        with pytest.raises(ValueError, match=f"{path}: the file was changed in place"):
            call()
    assert len(index) == 3005


def test_a_mapped_file_may_be_replaced_removed_and_read(tmp_path: Path) -> None:
    path, queries = tmp_path / "index", normal(2, 16, seed=1)
    TopKIndex(normal(300, 16)).save(path)
    index = TopKIndex.load(path)
    expected = index.search(queries, 9)
    TopKIndex(normal(40, 16, seed=2)).save(path)
    assert torch.equal(index.search(queries, 9)[1], expected[1])
    path.unlink()
    assert torch.equal(index.search(queries, 9)[1], expected[1])


def damaged_shard(folder: Path) -> tuple[Path, bytes]:
    """Two shards, the second with a flip; its path, and what it was."""
    save_shards(folder, normal(600, 16), 2)
    path = shard_paths(folder)[1]
    good = path.read_bytes()
    at = len(good) - 300
    path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
    return path, good


def test_shards_check_too(tmp_path: Path) -> None:
    path, good = damaged_shard(tmp_path / "index")
    for mmap in (True, False):
        with pytest.raises(ValueError, match=f"{path}: checksum does not match"):
            TopKShards.load(tmp_path / "index", mmap)
    path.write_bytes(good)
    shards = TopKShards.load(tmp_path / "index")
    os.truncate(path, 4096)
    with pytest.raises(ValueError, match=f"{path}: the file was changed in place"):
        shards.search(normal(2, 16), 9)


@pytest.mark.rare
def test_processes_check_too(tmp_path: Path) -> None:
    path, good = damaged_shard(tmp_path / "index")
    with pytest.raises(ValueError, match=f"{path}: checksum does not match"):
        TopKProcesses.load(tmp_path / "index")
    path.write_bytes(good)
    with TopKProcesses.load(tmp_path / "index") as shards:
        queries = normal(2, 16, seed=1)
        assert torch.equal(shards.search(queries, 9)[1], TopKIndex(normal(600, 16)).search(queries, 9)[1])
        os.truncate(path, 4096)
        with pytest.raises(ValueError, match=f"{path}: the file was changed in place"):
            shards.search(queries, 9)
