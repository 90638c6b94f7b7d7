"""The top-k index: ids, changes, files, threads."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from topk_vectors import normal
from torch import Tensor

from headrace.kernels.index import TopKIndex
from headrace.kernels.topk import METRICS, topk


def shuffled_ids(n: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(2)) * 10**12


@pytest.mark.parametrize("metric", METRICS)
def test_search_speaks_in_ids(metric: str) -> None:
    items, queries, ids = normal(200, 12), normal(5, 12, seed=1), shuffled_ids(200)
    index = TopKIndex(items, ids, metric)
    scores, found = index.search(queries, 9)
    expected, rows = topk(queries, items, 9, metric, backend="reference")
    assert torch.equal(scores, expected)
    assert torch.equal(found, ids[rows])
    assert torch.equal(TopKIndex(items, metric=metric).search(queries, 9)[1], rows)


def test_ties_go_to_the_lower_id() -> None:
    index = TopKIndex(torch.ones(4, 3), torch.tensor([7, 3, 9, 5]))
    assert index.search(torch.ones(1, 3), 6)[1].tolist() == [[3, 5, 7, 9, -1, -1]]


def test_masks_follow_the_order_of_ids() -> None:
    index = TopKIndex(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([30, 20, 10]))
    assert index.ids.tolist() == [10, 20, 30]
    assert index.search(torch.ones(1, 1), 3, torch.tensor([0b110]))[1].tolist() == [[20, 30, -1]]


def test_add_and_remove_equal_a_fresh_index() -> None:
    items, ids, queries = normal(300, 8), shuffled_ids(300), normal(4, 8, seed=1)
    index = TopKIndex(items[:100], ids[:100])
    index.add(items[100:], ids[100:])
    index.remove(ids[50:120])
    stays = torch.cat([torch.arange(50), torch.arange(120, 300)])
    fresh = TopKIndex(items[stays], ids[stays])
    assert len(index) == len(fresh) == 230
    there = index.ids >= 0
    order = index.ids[there].argsort()
    assert torch.equal(index.ids[there][order], fresh.ids)
    assert torch.equal(index.items[there][order], fresh.items)
    for mine, theirs in zip(index.search(queries, 230), fresh.search(queries, 230), strict=True):
        assert torch.equal(mine, theirs)


def test_an_index_may_be_empty() -> None:
    index = TopKIndex(torch.empty(0, 3))
    assert index.search(torch.ones(2, 3), 2)[1].tolist() == [[-1, -1], [-1, -1]]
    index.add(torch.ones(1, 3), torch.tensor([4]))
    assert index.search(torch.ones(1, 3), 2)[1].tolist() == [[4, -1]]
    index.remove(torch.tensor([4]))
    assert len(index) == 0


def test_what_arrives_wrong_is_named() -> None:
    index = TopKIndex(normal(4, 3), torch.tensor([1, 2, 3, 4]))
    nan = normal(2, 3)
    nan[1, 2] = torch.nan
    for error, match, call in [
        (ValueError, "ids: expected new ids, got 3", lambda: index.add(normal(2, 3), torch.tensor([9, 3]))),
        (ValueError, "ids: expected distinct ids, got 9 twice", lambda: index.add(normal(2, 3), torch.tensor([9, 9]))),
        (ValueError, "ids: expected 2, one for each item", lambda: index.add(normal(2, 3), torch.tensor([9]))),
        (ValueError, "items: expected 3 columns", lambda: index.add(normal(1, 4), torch.tensor([9]))),
        (ValueError, "items: expected finite values.* row 1", lambda: index.add(nan, torch.tensor([8, 9]))),
        (ValueError, "items: expected finite values.* row 1", lambda: TopKIndex(nan)),
        (ValueError, "ids: expected ids of the index, got 7", lambda: index.remove(torch.tensor([1, 7]))),
        (ValueError, "ids: expected at least 0, got -1", lambda: TopKIndex(normal(1, 3), torch.tensor([-1]))),
        (TypeError, "ids: expected int64, got float32", lambda: TopKIndex(normal(1, 3), torch.tensor([1.0]))),
        (ValueError, "scan: expected one of auto, float32", lambda: TopKIndex(normal(1, 3), scan="int4")),
        (ValueError, "keep: expected one of memory, mmap, none", lambda: TopKIndex(normal(1, 3), keep="disk")),
        (
            ValueError,
            "scan: expected auto, bfloat16 or int8",
            lambda: TopKIndex(normal(1, 3), None, "ip", "float32", "none"),
        ),
        (ValueError, "path: expected a file with keep='mmap'", lambda: TopKIndex(normal(1, 3), keep="mmap")),
        (ValueError, "path: expected none with keep='none'", lambda: TopKIndex(normal(1, 3), keep="none", path="x")),
        (ValueError, "ids: expected distinct ids", lambda: index.upsert(normal(2, 3), torch.tensor([9, 9]))),
        (ValueError, "items: expected finite values.* row 1", lambda: index.upsert(nan, torch.tensor([1, 2]))),
        (TypeError, "ids: expected int64, got float32", lambda: index.mask(torch.tensor([1.0]))),
        (ValueError, "k: expected at least 1, got 0", lambda: index.search(normal(1, 3), 0)),
        (ValueError, "queries: expected 3 columns as in the index, got 4", lambda: index.search(normal(1, 4), 1)),
        (TypeError, "queries: expected float32, got int64", lambda: index.search(normal(1, 3).long(), 1)),
        (ValueError, r"queries: expected finite values.* row 1", lambda: index.search(nan, 1)),
        (
            ValueError,
            r"mask: expected shape \[1\] or \[1, 1\], got \[2\]",
            lambda: index.search(normal(1, 3), 1, torch.zeros(2).long()),
        ),
        (ValueError, "metric: expected one of", lambda: TopKIndex(normal(1, 3), metric="dot")),
    ]:
        with pytest.raises(error, match=match):
            call()
    assert index.ids.tolist() == [1, 2, 3, 4]
    index.remove(torch.arange(1, 5))
    with pytest.raises(ValueError, match=r"queries: expected finite values, got NaN or infinity in row 1$"):
        index.search(nan, 1)


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("scan", ["auto", "float32", "bfloat16", "int8"])
@pytest.mark.parametrize("n_items", [0, 1, 97, 600])
def test_save_and_load(tmp_path: Path, n_items: int, scan: str, mmap: bool) -> None:
    queries = normal(3, 7, seed=1)
    index = TopKIndex(normal(n_items, 7), shuffled_ids(n_items), "l2", scan)
    index.save(tmp_path / "index")
    index.save(tmp_path / "index")
    again = TopKIndex.load(tmp_path / "index", mmap=mmap)
    assert [file.name for file in tmp_path.iterdir()] == ["index"]
    assert (again.metric, len(again), again.keep) == ("l2", n_items, "mmap" if mmap else "memory")
    assert (again.scan, again.found_by) == (scan, index.found_by)
    for mine, theirs in zip(again.search(queries, 5), index.search(queries, 5), strict=True):
        assert torch.equal(mine, theirs)
    before = (tmp_path / "index").read_bytes()
    again.add(normal(1, 7), torch.tensor([5]))
    assert (tmp_path / "index").read_bytes() == before


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "index"
    TopKIndex(normal(9, 4), scan="int8").save(path)
    good = path.read_bytes()
    for at in [*range(500), *range(500, len(good), 37)]:  # one bit of a byte
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :])
        for mmap in (True, False):
            with pytest.raises(ValueError, match=str(path)):
                TopKIndex.load(path, mmap)
        if at < 128:
            with pytest.raises(ValueError, match=str(path)):
                TopKIndex.load(path, verify=False)
    for content, reason in [
        (b"", "cut short"),
        (good[:100], "cut short"),
        (good[:-1], "cut short"),
        (good + b"\0", "expected"),
        (b"PK" + bytes(500), "not a top-k index"),
        (good[:16] + b"\7" + good[17:], "version 7"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=reason):
            TopKIndex.load(path)
    with pytest.raises(FileNotFoundError):
        TopKIndex.load(tmp_path / "absent")


def test_a_damaged_file_that_nobody_checked_harms_nothing_but_answers(tmp_path: Path) -> None:
    path = tmp_path / "index"
    TopKIndex(normal(200, 4), scan="int8").save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:2000] + b"\xff" * (len(whole) - 2000))  # NaN in vectors, scales and bounds
    scores, ids = TopKIndex.load(path, verify=False).search(normal(5, 4), 70)
    assert ids.shape == scores.shape == (5, 70)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "index"
    TopKIndex(normal(3, 2)).save(path)
    before = path.read_bytes()

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="disk full"):
        TopKIndex(normal(5, 2)).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["index"]


def test_searches_see_a_change_whole() -> None:
    # Group g has ids 100g..100g+9 and score g: every answer must be one whole group.
    index = TopKIndex(torch.zeros(10, 2), torch.arange(10))
    stop, torn = threading.Event(), []

    def search() -> None:
        while not stop.is_set():
            scores, ids = index.search(torch.ones(1, 2), 10)
            if len(set((ids // 100).flatten().tolist())) != 1 or len(set(scores.flatten().tolist())) != 1:
                torn.append(ids)

    searchers = [threading.Thread(target=search) for _ in range(3)]
    for searcher in searchers:
        searcher.start()
    for group in range(1, 60):
        index.add(torch.full((10, 2), float(group)), torch.arange(10) + 100 * group)
        if group > 5:
            index.remove(torch.arange(10) + 100 * (group - 5))
    stop.set()
    for searcher in searchers:
        searcher.join()
    assert not torn
