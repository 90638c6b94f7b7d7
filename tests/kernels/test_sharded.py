"""Top-k over shards in one process, and their files: the answers of one index over everything."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from shards_oracle import DIM, SPLITS, assert_same, bad_calls, check_all, integers, some_ids

from headrace.kernels.index import TopKIndex
from headrace.kernels.sharded.files import save_shards, shard_paths
from headrace.kernels.sharded.shards import TopKShards
from headrace.kernels.topk import METRICS


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("sizes", SPLITS, ids=str)
@pytest.mark.parametrize("scan", ["float32", "int8"])
def test_shards_answer_as_one_index(metric: str, sizes: tuple[int, ...], scan: str) -> None:
    items, ids = integers(sum(sizes), DIM, seed=1), some_ids(sum(sizes))
    parts = [TopKIndex(*part, metric, scan) for part in zip(items.split(sizes), ids.split(sizes), strict=True)]
    shards = TopKShards(parts)
    assert len(shards) == sum(sizes)
    check_all(shards, shards.ids, TopKIndex(items, ids, metric))


def test_counts_are_summed_where_all_shards_count() -> None:
    items = integers(200, DIM, seed=1)
    counted = [
        TopKIndex(items[:90], torch.arange(90), scan="int8"),
        TopKIndex(items[90:], torch.arange(90, 200), scan="int8"),
    ]
    queries = integers(4, DIM, seed=2)
    counts = TopKShards(counted).search_float64(queries, 10)[2]
    assert counts is not None
    assert counts.rescored == sum(shard.search_counted(queries, 10)[2].rescored for shard in counted)  # type: ignore[union-attr]
    mixed = [counted[0], TopKIndex(items[90:], torch.arange(90, 200), scan="float32")]
    assert TopKShards(mixed).search_float64(queries, 10)[2] is None


def test_a_shard_may_change() -> None:
    items, ids = integers(150, DIM, seed=1), torch.arange(150)
    shards = TopKShards([first := TopKIndex(items[:50], ids[:50]), TopKIndex(items[50:100], ids[50:100])])
    first.add(items[100:], ids[100:])
    first.remove(ids[:3])
    check_all(shards, shards.ids, TopKIndex(items[3:], ids[3:]))


def test_shards_that_do_not_fit_are_named() -> None:
    def index(ids: list[int], dim: int = 2, metric: str = "ip") -> TopKIndex:
        return TopKIndex(torch.ones(len(ids), dim), torch.tensor(ids, dtype=torch.int64), metric)

    for shards, match in (
        ([], "shards: expected at least 1, got 0"),
        ([index([1]), index([2], dim=3)], "shards: expected dimension 2 as in shard 0, got 3 in shard 1"),
        ([index([1]), index([2], metric="l2")], "shards: expected metric ip as in shard 0, got l2 in shard 1"),
        ([index([1, 9]), index([2, 8]), index([3, 8])], "shards: expected distinct ids, got 8 twice"),
        ([index([1, 9]), index([9])], "shards: expected distinct ids, got 9 twice"),
    ):
        with pytest.raises(ValueError, match=match):
            TopKShards(shards)
    TopKShards([index([1, 9]), index([2, 8]), index([])])


def test_bad_arguments_are_named() -> None:
    items = integers(200, DIM, seed=1)
    shards = TopKShards([TopKIndex(items[:70], torch.arange(70)), TopKIndex(items[70:], torch.arange(70, 200))])
    for error, match, arguments in bad_calls(integers(4, DIM, seed=2)):
        with pytest.raises(error, match=match):
            shards.search(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("n_shards", [1, 2, 3, 7])
@pytest.mark.parametrize("metric", METRICS)
def test_saved_shards_are_ranges_of_ids(tmp_path: Path, n_shards: int, metric: str) -> None:
    items, ids = integers(100, DIM, seed=1), some_ids(100)
    save_shards(tmp_path / "index", items, n_shards, ids, metric)
    paths = shard_paths(tmp_path / "index")
    assert [path.name for path in paths] == [f"shard-{i:05}-of-{n_shards:05}.topk" for i in range(n_shards)]
    for mmap in (True, False):
        shards = TopKShards.load(tmp_path / "index", mmap)
        assert torch.equal(shards.ids[shards.ids >= 0], ids.sort().values)
        check_all(shards, shards.ids, TopKIndex(items, ids, metric))
    sizes = [len(TopKIndex.load(path)) for path in paths]
    assert max(sizes) - min(sizes) <= 1


def test_more_shards_than_items(tmp_path: Path) -> None:
    items = integers(2, DIM, seed=1)
    save_shards(tmp_path / "index", items, 5)
    shards = TopKShards.load(tmp_path / "index")
    check_all(shards, shards.ids, TopKIndex(items))


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    folder, items = tmp_path / "index", integers(20, DIM, seed=1)
    bad = items.clone()
    bad[19] = torch.nan
    with pytest.raises(ValueError, match="items: expected finite"):
        save_shards(folder, bad, 3)
    with pytest.raises(ValueError, match="ids: expected distinct ids, got 0 twice"):
        save_shards(folder, items, 2, torch.zeros(20, dtype=torch.int64))
    with pytest.raises(ValueError, match="shards: expected at least 1"):
        save_shards(folder, items, 0)
    assert list(tmp_path.iterdir()) == []
    save_shards(folder, items, 2)
    with pytest.raises(FileExistsError, match="folder: expected a new or empty one"):
        save_shards(folder, items, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no shards"):
        shard_paths(tmp_path)
    items = integers(20, DIM, seed=1)
    save_shards(tmp_path / "three", items, 3)
    save_shards(tmp_path / "two", items, 2)
    extra = tmp_path / "three" / "shard-00001-of-00002.topk"
    extra.write_bytes(b"")
    with pytest.raises(ValueError, match=r"expected shards of 00003 only, got shard-00001-of-00002.topk"):
        shard_paths(tmp_path / "three")
    extra.unlink()
    first = tmp_path / "three" / "shard-00000-of-00003.topk"
    first.rename(tmp_path / "two" / first.name)
    with pytest.raises(ValueError, match=r"shard-00000-of-00003.topk is missing"):
        TopKShards.load(tmp_path / "three")
    with pytest.raises(ValueError, match=r"expected shards of 00002 only, got shard-00000-of-00003.topk"):
        TopKShards.load(tmp_path / "two")


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_threads_change_nothing(threads: int) -> None:
    sizes = SPLITS[-1]
    items, ids = integers(sum(sizes), DIM, seed=1), some_ids(sum(sizes))
    shards = TopKShards([TopKIndex(*part) for part in zip(items.split(sizes), ids.split(sizes), strict=True)])
    queries = integers(20, DIM, seed=2)
    assert_same(shards.search(queries, 9, threads=threads), TopKIndex(items, ids).search(queries, 9))


def test_masks_of_ids_after_changes() -> None:
    items, ids = integers(300, DIM, seed=1), some_ids(300)
    shards = [TopKIndex(items[:90], ids[:90]), TopKIndex(items[90:200], ids[90:200])]
    shards[0].add(items[200:260], ids[200:260])
    shards[1].add(items[260:], ids[260:])
    shards[0].remove(ids[:5])
    both, whole = TopKShards(shards), TopKIndex(items[5:], ids[5:])
    check_all(both, both.ids, whole)
    queries = integers(6, DIM, seed=2)
    for wanted in (ids[::3], torch.stack([ids[:50], ids[100:150], ids[250:]] * 2)):
        for allow in (True, False):
            expected = whole.search_float64(queries, 20, whole.mask(wanted, allow))
            assert_same(both.search_float64(queries, 20, both.mask(wanted, allow)), expected)


def test_shards_of_packed_numbers_alone(tmp_path: Path) -> None:
    items, ids = integers(200, DIM, seed=1) / 3, some_ids(200)
    save_shards(tmp_path / "index", items, 3, ids, keep="none")
    shards = TopKShards.load(tmp_path / "index")
    check_all(shards, shards.ids, TopKIndex(items, ids, keep="none"))
