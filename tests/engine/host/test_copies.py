"""What holds a lock is copied and pickled whole and on its own; what cannot be says what to do instead."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from children import ids_of

from headrace.exposure import ExposureFilter
from headrace.kernels import TopKIndex, TopKProcesses, TopKRanks, TopKShards, save_shards
from headrace.search.ann import AnnIndex
from headrace.serving import Engine

USERS = list(range(40))
ITEMS = torch.randn(600, 8, generator=torch.Generator().manual_seed(1))


def pickled(one: Any) -> Any:
    return pickle.loads(pickle.dumps(one))


ways = pytest.mark.parametrize("again", [pickled, copy.deepcopy, copy.copy])


@ways
@pytest.mark.parametrize("keep", ["memory", "mmap", "none"])
def test_an_index(tmp_path: Path, again: Callable[[Any], Any], keep: str) -> None:
    path = tmp_path / "index" if keep == "mmap" else None
    index = TopKIndex(ITEMS, torch.arange(600) * 3, "cosine", keep=keep, path=path)
    index.remove(torch.tensor([0, 3]))
    scores, ids = index.search(ITEMS[:5], 4)
    other = again(index)
    if path is not None and again is not copy.copy:
        path.unlink()
        assert (other.keep, other.nbytes > ITEMS.nbytes) == ("memory", True)
    assert all(torch.equal(a, b) for a, b in zip(other.search(ITEMS[:5], 4), (scores, ids), strict=True))
    other.remove(ids[0])
    other.add(ITEMS[:1], torch.tensor([0]))
    assert torch.equal(index.search(ITEMS[:5], 4)[1], ids)


@ways
def test_shards(again: Callable[[Any], Any]) -> None:
    shards = TopKShards([TopKIndex(ITEMS[:300]), TopKIndex(ITEMS[300:], torch.arange(300, 600))])
    assert torch.equal(again(shards).search(ITEMS[:5], 4)[1], shards.search(ITEMS[:5], 4)[1])


@ways
@pytest.mark.parametrize("method", ["hnsw", "lsh"])
def test_an_approximate_index(again: Callable[[Any], Any], method: str) -> None:
    if method == "hnsw":
        pytest.importorskip("faiss")
    index = AnnIndex(ITEMS, method=method)
    assert torch.equal(again(index).search(ITEMS[:5], 4)[1], index.search(ITEMS[:5], 4)[1])


@ways
def test_an_exposure_filter(again: Callable[[Any], Any]) -> None:
    one, items = torch.zeros(50, dtype=torch.int64), torch.arange(50)
    exposure = ExposureFilter()
    exposure.record(one, items)
    other = again(exposure)
    assert other.seen(one, items).all()
    other.record(one, items + 100)
    assert other.seen(one, items + 100).all()
    assert not exposure.seen(one, items + 100).any()


def test_a_filter_is_copied_as_it_was_at_one_moment() -> None:
    exposure, ended = ExposureFilter(), threading.Event()
    user, item = torch.arange(300), torch.arange(300)

    def records() -> None:
        number = 0
        while not ended.is_set():
            exposure.record(user + number % 1000, item)
            number += 1

    writer = threading.Thread(target=records)
    writer.start()
    try:
        copies = [again(exposure) for again in (pickled, copy.deepcopy) for _ in range(5)]
    finally:
        ended.set()
        writer.join()
    # Its tables are of one size, and every call's pairs are all there or none.
    for one in copies:
        users = torch.arange(one.users)
        assert one.seen(users, users % 300).shape == users.shape
        one.record(users + 5, users % 300)
        assert one.seen(users + 5, users % 300).all()


@pytest.mark.parametrize("again", [pickled, copy.deepcopy])
def test_an_engine(engine: Engine, again: Callable[[Any], Any]) -> None:
    pages = ids_of(engine.recommend(USERS))
    engine.recommend(USERS[:3], at=engine.as_of - 1)
    other = again(engine)
    assert ids_of(other.recommend(USERS)) == pages
    assert other.counters["requests"] == engine.counters["requests"] + len(USERS)
    other.recommend(USERS, record=True)
    assert ids_of(engine.recommend(USERS)) == pages


@ways
def test_what_cannot_be_copied_says_so(tmp_path: Path, again: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match="TopKRanks: expected neither a copy nor a pickle"):
        again(TopKRanks.__new__(TopKRanks))
    save_shards(tmp_path / "shards", ITEMS, 1)
    with pytest.raises(TypeError, match=r"TopKProcesses: expected neither .* load its folder there"):
        again(TopKProcesses.__new__(TopKProcesses))
