"""Top-k over shards, in one process and in several: the answers of one index over everything."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from shards_oracle import DIM, assert_same, check_all, integers, some_ids
from torch import Tensor

from headrace.kernels.topk import METRICS, TopKIndex
from headrace.kernels.topk.processes import TopKProcesses
from headrace.kernels.topk.shard_files import save_shards, shard_paths
from headrace.kernels.topk.sharded import TopKShards

#: Rows of the shards of each split.
SPLITS = [(200,), (137, 63), (64, 1, 135), (0, 50, 0, 65, 64, 21, 0)]


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


def bad_calls(queries: Tensor) -> list[tuple[type[Exception], str, tuple[object, ...]]]:
    nan = queries.clone()
    nan[2, 0] = torch.nan
    return [
        (ValueError, "queries: expected finite.* row 2", (nan, 3)),
        (ValueError, f"queries: expected {DIM} columns", (queries[:, :-1], 3)),
        (ValueError, "queries: expected 2 dimensions", (queries[0], 3)),
        (TypeError, "queries: expected float32", (queries.double(), 3)),
        (ValueError, "k: expected at least 1, got 0", (queries, 0)),
        (ValueError, r"mask: expected shape \[5\] or \[4, 5\]", (queries, 3, torch.zeros(4, dtype=torch.int64))),
        (TypeError, "mask: expected uint64 or int64", (queries, 3, torch.zeros(5))),
    ]


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
    with pytest.raises(ValueError, match="expected shards of 00003 only, got shard-00001-of-00002.topk"):
        shard_paths(tmp_path / "three")
    extra.unlink()
    first = tmp_path / "three" / "shard-00000-of-00003.topk"
    first.rename(tmp_path / "two" / first.name)
    with pytest.raises(ValueError, match="shard-00000-of-00003.topk is missing"):
        TopKShards.load(tmp_path / "three")
    with pytest.raises(ValueError, match="expected shards of 00002 only, got shard-00000-of-00003.topk"):
        TopKShards.load(tmp_path / "two")


@pytest.fixture(scope="module")
def catalogue() -> tuple[Tensor, Tensor]:
    return integers(200, DIM, seed=1), some_ids(200)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, catalogue: tuple[Tensor, Tensor]) -> Path:
    path = tmp_path_factory.mktemp("shards") / "index"
    save_shards(path, catalogue[0], 2, catalogue[1])
    return path


@pytest.fixture(scope="module")
def processes(folder: Path) -> Iterator[TopKProcesses]:
    with TopKProcesses.load(folder) as opened:
        yield opened


def pids() -> set[int]:
    return {child.pid for child in multiprocessing.active_children() if child.pid is not None}


def test_processes_answer_as_one_index(processes: TopKProcesses, catalogue: tuple[Tensor, Tensor]) -> None:
    check_all(processes, processes.ids, TopKIndex(*catalogue))


def test_processes_name_bad_arguments_and_go_on(processes: TopKProcesses, catalogue: tuple[Tensor, Tensor]) -> None:
    before = pids()
    queries = integers(4, DIM, seed=2)
    for error, match, arguments in [
        *bad_calls(queries)[:5],
        (ValueError, r"mask: expected shape \[4\]", (queries, 3, torch.zeros(5, dtype=torch.int64))),
        (ValueError, "shard 0 .*backend", (queries, 3, None, "nobody")),
        (ValueError, "threads: expected at least 0", (queries, 3, None, "auto", -1)),
    ]:
        with pytest.raises(error, match=match):
            processes.search(*arguments)  # type: ignore[arg-type]
    assert_same(processes.search(queries, 3), TopKIndex(*catalogue).search(queries, 3))
    assert pids() == before


def test_threads_share_the_processes(processes: TopKProcesses, catalogue: tuple[Tensor, Tensor]) -> None:
    whole, wrong = TopKIndex(*catalogue), []

    def ask(seed: int) -> None:
        for k in range(1, 30):
            queries = integers(1 + (seed + k) % 5, DIM, seed=seed)
            if not torch.equal(processes.search(queries, k)[1], whole.search(queries, k)[1]):
                wrong.append((seed, k))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("when", ["idle", "searching"])
def test_a_killed_process_is_replaced(processes: TopKProcesses, catalogue: tuple[Tensor, Tensor], when: str) -> None:
    queries = integers(5, DIM, seed=3)
    expected = TopKIndex(*catalogue).search(queries, 30)
    before = pids()
    victim = processes._workers[1]._process.pid
    if when == "searching":
        os.kill(victim, signal.SIGSTOP)  # so that it dies with the question in hand
        threading.Timer(0.3, os.kill, (victim, signal.SIGKILL)).start()
    else:
        os.kill(victim, signal.SIGKILL)
    assert_same(processes.search(queries, 30), expected)
    after = pids()
    assert len(after & before) == 1
    assert victim not in after
    assert len(after) == 2
    with pytest.raises(ProcessLookupError):
        os.kill(victim, 0)  # not even a zombie
    assert_same(processes.search(queries, 30), expected)


@pytest.mark.slow
def test_an_interrupted_search_leaves_no_reply_behind(
    processes: TopKProcesses, catalogue: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(request: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(processes._workers[1], "reply", interrupt)
        processes.search(integers(9, DIM, seed=6), 5)
    queries = integers(5, DIM, seed=3)
    assert_same(processes.search(queries, 30), TopKIndex(*catalogue).search(queries, 30))


@pytest.mark.slow
def test_closing_ends_the_processes(tmp_path: Path) -> None:
    items, before, open_files = integers(20, DIM, seed=1), pids(), len(os.listdir("/proc/self/fd"))
    save_shards(tmp_path / "index", items, 2)
    shards = TopKProcesses.load(tmp_path / "index", verify=True)
    mine = pids() - before
    assert len(mine) == 2
    shards.close()
    shards.close()
    assert pids() == before
    with pytest.raises(RuntimeError, match="this index is closed"):
        shards.search(items[:1], 1)
    forgotten = TopKProcesses.load(tmp_path / "index")
    assert len(pids() - before) == 2
    del forgotten, shards
    gc.collect()
    assert pids() == before
    assert len(os.listdir("/proc/self/fd")) <= open_files


@pytest.mark.slow
def test_a_file_that_changes_or_is_gone_is_named(tmp_path: Path) -> None:
    items = integers(40, DIM, seed=1)
    save_shards(tmp_path / "index", items, 2)
    path = shard_paths(tmp_path / "index")[1]
    with pytest.raises(ValueError, match="mmap: expected True"):
        TopKProcesses.load(tmp_path / "index", mmap=False)
    with TopKProcesses.load(tmp_path / "index") as shards:
        os.kill(shards._workers[1]._process.pid, signal.SIGKILL)
        TopKIndex(items[:20], torch.arange(20, 40)).save(path)
        with pytest.raises(ValueError, match=r"shard 1 \(.*\): the file was replaced"):
            shards.search(items[:2], 3)
        path.unlink()
        with pytest.raises(RuntimeError, match=r"shard 1 \(.*\): .*No such file"):
            shards.search(items[:2], 3)
    before = pids()
    with pytest.raises(FileNotFoundError):
        TopKProcesses([path])
    assert pids() == before


@pytest.mark.slow
def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    items = integers(40, DIM, seed=1)
    save_shards(tmp_path / "index", items, 2, scan="float32")
    path = shard_paths(tmp_path / "index")[1]
    data = bytearray(path.read_bytes())
    data[-60:-56] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    for shards in (TopKShards.load(tmp_path / "index"), TopKProcesses.load(tmp_path / "index")):
        with pytest.raises(ValueError, match="shard 1.*items: expected finite"):
            shards.search(items[:2], 3)
    shards.close()
    before = pids()
    with pytest.raises(ValueError, match=r"shard 1 \(.*checksum does not match"):
        TopKProcesses.load(tmp_path / "index", verify=True)
    assert pids() == before


def test_a_forked_process_is_told_to_open_its_own(processes: TopKProcesses) -> None:
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # later Pythons warn of threads at a fork
        child = os.fork()
    if child == 0:
        try:
            processes.search(torch.ones(1, DIM), 1)
        except RuntimeError as error:
            os.write(writer, str(error).encode())
        processes.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert b"belongs to the process that opened it" in os.read(reader, 1000)
    os.close(reader)
    os.close(writer)
    assert len(processes.search(torch.ones(1, DIM), 1)[1]) == 1


@pytest.mark.slow
def test_seven_processes_of_unequal_size(tmp_path: Path) -> None:
    items, ids = integers(200, DIM, seed=1), some_ids(200)
    paths = [tmp_path / f"part {number}" for number in range(7)]
    sizes = SPLITS[-1]
    for path, *part in zip(paths, items.split(sizes), ids.split(sizes), strict=True):
        TopKIndex(*part, metric="l2").save(path)
    with TopKProcesses(paths) as shards:
        check_all(shards, shards.ids, TopKIndex(items, ids, "l2"))
