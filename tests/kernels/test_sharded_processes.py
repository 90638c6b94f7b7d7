"""Top-k over shards in processes of their own: the answers of one index, whatever happens to the processes."""

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
from shards_oracle import DIM, SPLITS, assert_same, bad_calls, check_all, integers, some_ids
from torch import Tensor

from headrace.kernels.index import TopKIndex
from headrace.kernels.sharded.files import save_shards, shard_paths
from headrace.kernels.sharded.processes import TopKProcesses
from headrace.kernels.sharded.shards import TopKShards


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
    ]:
        with pytest.raises(error, match=match):
            processes.search(*arguments)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match=r"(?s)shard 0 .*backend 'gpu' cannot serve"):
        processes.search(queries, 3, backend="gpu")
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


@pytest.mark.rare
def test_an_interrupted_search_leaves_no_reply_behind(
    processes: TopKProcesses, catalogue: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(request: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(processes._workers[1], "reply", interrupt)
        with pytest.raises(KeyboardInterrupt):
            processes.search(integers(9, DIM, seed=6), 5)
    queries = integers(5, DIM, seed=3)
    assert_same(processes.search(queries, 30), TopKIndex(*catalogue).search(queries, 30))


@pytest.mark.rare
def test_closing_ends_the_processes(tmp_path: Path) -> None:
    items, before, open_files = integers(20, DIM, seed=1), pids(), len(os.listdir("/proc/self/fd"))
    save_shards(tmp_path / "index", items, 2)
    shards = TopKProcesses.load(tmp_path / "index")
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


@pytest.mark.rare
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


@pytest.mark.rare
def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    items = integers(40, DIM, seed=1)
    save_shards(tmp_path / "index", items, 2, scan="float32")
    path = shard_paths(tmp_path / "index")[1]
    data = bytearray(path.read_bytes())
    data[-60:-56] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    for shards in (
        TopKShards.load(tmp_path / "index", verify=False),
        TopKProcesses.load(tmp_path / "index", verify=False),
    ):
        with pytest.raises(ValueError, match=r"shard 1.*items: expected finite"):
            shards.search(items[:2], 3)
    shards.close()
    before = pids()
    with pytest.raises(ValueError, match=r"shard 1 \(.*checksum does not match"):
        TopKProcesses.load(tmp_path / "index")
    assert pids() == before
    with pytest.raises(ValueError, match="checksum does not match"):
        TopKShards.load(tmp_path / "index")


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


@pytest.mark.rare
def test_seven_processes_of_unequal_size(tmp_path: Path) -> None:
    items, ids = integers(200, DIM, seed=1), some_ids(200)
    paths = [tmp_path / f"part {number}" for number in range(7)]
    sizes = SPLITS[-1]
    for path, *part in zip(paths, items.split(sizes), ids.split(sizes), strict=True):
        TopKIndex(*part, metric="l2").save(path)
    with TopKProcesses(paths) as shards:
        check_all(shards, shards.ids, TopKIndex(items, ids, "l2"))
