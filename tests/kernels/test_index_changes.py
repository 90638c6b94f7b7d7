"""A top-k index that changes: its answers are those of a brute force over what it should hold."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from headrace.kernels.index import TopKIndex, catalogue
from headrace.kernels.topk import topk
from headrace.kernels.topk.reference import allowed_items

DIM = 5


def whole(low: int, high: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed))


def vectors(n: int, seed: int) -> Tensor:
    # Few values, so that many items tie.
    return whole(-2, 3, n, DIM, seed=seed).float()


class Model:
    """What an index should hold: id -> vector. `search` ranks them by brute force."""

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.items: dict[int, Tensor] = {}

    def put(self, items: Tensor, ids: Tensor) -> None:
        self.items.update(zip(ids.tolist(), items, strict=True))

    def drop(self, ids: Tensor) -> None:
        for one in ids.tolist():
            del self.items[one]

    def search(self, queries: Tensor, k: int, allowed: set[int] | None = None) -> tuple[Tensor, Tensor]:
        ids = torch.tensor([one for one in sorted(self.items) if allowed is None or one in allowed], dtype=torch.int64)
        items = torch.stack([self.items[one] for one in ids.tolist()]) if len(ids) else torch.empty(0, DIM)
        scores, rows = topk(queries, items, k, self.metric, backend="reference")
        return scores, torch.cat([ids, ids.new_tensor([-1])])[rows]


@pytest.fixture
def many_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "SMALL", 4)
    monkeypatch.setattr(catalogue, "MOST", 300 * DIM)


def check(index: TopKIndex, model: Model, seed: int) -> None:
    queries = vectors(7, seed)
    assert len(index) == len(model.items)
    assert sorted(one for one in index.ids.tolist() if one >= 0) == sorted(model.items)
    for k in (1, 40, 500):
        for mine, theirs in zip(index.search(queries, k), model.search(queries, k), strict=True):
            assert torch.equal(mine, theirs)
    some = whole(-1, 900, 60, seed=seed)
    for allow in (True, False):
        allowed = {one for one in model.items if (one in some.tolist()) == allow}
        mask = index.mask(some, allow)
        assert set(index.ids[allowed_items(mask, len(index.ids))[0]].tolist()) == allowed
        for mine, theirs in zip(index.search(queries, 9, mask), model.search(queries, 9, allowed), strict=True):
            assert torch.equal(mine, theirs)
    lists = whole(-1, 900, 7, 30, seed=seed)
    found = index.search(queries, 9, index.mask(lists, allow=False))
    for b in range(7):
        expected = model.search(queries[b : b + 1], 9, set(model.items) - set(lists[b].tolist()))
        assert torch.equal(found[0][b], expected[0][0])
        assert torch.equal(found[1][b], expected[1][0])


@pytest.mark.usefixtures("many_segments")
@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize(("scan", "keep"), [("float32", "memory"), ("int8", "memory"), ("auto", "none")])
def test_any_sequence_of_changes(scan: str, keep: str, metric: str) -> None:
    # Small integers with a 2 in each vector are exact in int8, up to the scale that ends in zeros.
    index, model = TopKIndex(torch.empty(0, DIM), metric=metric, scan=scan, keep=keep), Model(metric)
    generator = torch.Generator().manual_seed(1)

    def draw(n: int) -> int:
        return int(torch.randint(n, (1,), generator=generator))

    for step in range(60):
        ids = torch.randperm(800, generator=generator)[: draw(4) ** 3 + draw(5)]
        there = torch.tensor([one in model.items for one in ids.tolist()], dtype=torch.bool)
        kind = draw(4)
        if kind < 2:
            items = vectors(len(ids), step)
            if kind == 0:
                items, ids = items[~there], ids[~there]
                index.add(items, ids)
            else:
                index.upsert(items, ids)
            model.put(items, ids)
        elif kind == 2:
            index.remove(ids[there])
            model.drop(ids[there])
        elif draw(4) == 0:
            gone = torch.tensor(sorted(model.items)[: len(model.items) * 2 // 3], dtype=torch.int64)
            index.remove(gone)
            model.drop(gone)
        if keep == "none":
            there = index.ids >= 0
            model.items = dict(zip(index.ids[there].tolist(), index.truth[there], strict=True))
        check(index, model, step)


@pytest.mark.usefixtures("many_segments")
@pytest.mark.parametrize("scan", ["bfloat16", "int8"])
@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
def test_packed_numbers_do_not_change_as_segments_merge(metric: str, scan: str) -> None:
    generator = torch.Generator().manual_seed(2)
    items, ids = torch.randn(700, DIM, generator=generator), torch.randperm(700, generator=generator)
    items[:50] *= torch.logspace(-44, 38, 50).unsqueeze(1)
    whole = TopKIndex(items, ids, metric, scan, "none")
    index = TopKIndex(torch.empty(0, DIM), None, metric, scan, "none")
    for block, own in zip(items.split(9), ids.split(9), strict=True):
        index.add(block, own)
    index.remove(torch.arange(0, 700, 3))
    there = index.ids >= 0
    assert torch.equal(index.truth[there], whole.truth[index.ids[there]])
    queries = torch.randn(4, DIM, generator=generator)
    expected = whole.search(queries, 60, whole.mask(torch.arange(0, 700, 3), allow=False))
    for mine, theirs in zip(index.search(queries, 60), expected, strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("metric", ["ip", "cosine"])
def test_whole_tiles_are_joined_as_they_are(metric: str) -> None:
    items = torch.randn(1200, DIM, generator=torch.Generator().manual_seed(2))
    whole, index = (TopKIndex(items[:n], metric=metric, keep="none") for n in (1200, 512))
    index.add(items[512:768], torch.arange(512, 768))
    index.add(items[768:], torch.arange(768, 1200))
    mine, theirs = index._catalogue.segments[0].packed, whole._catalogue.segments[0].packed
    assert mine is not None
    assert theirs is not None
    assert torch.equal(mine.data, theirs.data)


def test_a_stream_of_additions_makes_few_segments_and_packs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "SMALL", 16)
    packed = []
    merged = catalogue.merged
    monkeypatch.setattr(
        catalogue, "merged", lambda parts, *rest: packed.append(sum(p.count for p in parts)) or merged(parts, *rest)
    )
    index = TopKIndex(vectors(4000, 1), scan="int8")
    for at in range(4000, 6000):
        index.add(vectors(1, at), torch.tensor([at]))
        segments = index._catalogue.segments
        assert len(segments) <= 6
        assert all(after.count * 4 < before.count or before.count < 16 for before, after in pairwise(segments))
    assert sum(packed) < 2000 * 40


def test_large_segments_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "MOST", 512 * DIM)
    index = TopKIndex(vectors(500, 1))
    first = index._catalogue.segments[0]
    index.add(vectors(450, 2), torch.arange(500, 950))
    assert index._catalogue.segments[0] is first
    index.remove(torch.arange(249))
    assert [segment.rows for segment in index._catalogue.segments] == [500, 450]
    index.remove(torch.arange(249, 260))
    assert [segment.rows for segment in index._catalogue.segments] == [240, 450]
    index.remove(torch.arange(260, 500))
    assert [segment.rows for segment in index._catalogue.segments] == [450]


def test_what_is_added_may_change_afterwards() -> None:
    index = TopKIndex(torch.empty(0, 2))
    block = torch.ones(3, 2)
    index.add(block, torch.arange(3))
    block.fill_(7.0)
    assert index.search(torch.ones(1, 2), 1)[0].item() == 2.0


def test_a_copy_stands_still() -> None:
    index = TopKIndex(torch.ones(100, 2), torch.arange(0, 200, 2))
    still = index.copy()
    mask = still.mask(torch.tensor([0, 2, 4]), allow=False)
    index.remove(torch.arange(0, 150, 2))
    index.add(torch.ones(3, 2), torch.tensor([1, 3, 5]))
    assert still.search(torch.ones(1, 2), 2, mask)[1].tolist() == [[6, 8]]
    assert index.search(torch.ones(1, 2), 2)[1].tolist() == [[1, 3]]


@pytest.mark.parametrize("keep", ["memory", "none"])
def test_threads_see_one_state_or_another(keep: str) -> None:
    # Changes only ever move a block of ids as one, all its items with one score.
    index = TopKIndex(torch.ones(64, 2), keep=keep, scan="int8")
    stop, wrong = threading.Event(), []

    def search() -> None:
        while not stop.is_set():
            scores, ids = index.search(torch.ones(2, 2), 1000)
            held = {int(one) // 64: [] for one in ids[0] if one >= 0}
            for one, score in zip(ids[0].tolist(), scores[0].tolist(), strict=True):
                if one >= 0:
                    held[one // 64].append(score)
            if any(len(block) != 64 or len(set(block)) != 1 for block in held.values()) or 0 not in held:
                wrong.append(held)

    def change(block: int) -> None:
        ids = torch.arange(64) + 64 * block
        for size in range(1, 25):
            index.upsert(torch.full((64, 2), float(size)), ids)
            index.upsert(torch.full((64, 2), float(size)), torch.arange(64))
            if size % 3 == 0:
                index.remove(ids)
                index.add(torch.full((64, 2), -float(size)), ids)

    searchers = [threading.Thread(target=search) for _ in range(2)]
    writers = [threading.Thread(target=change, args=(block,)) for block in range(1, 5)]
    for thread in searchers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in searchers:
        thread.join()
    assert not wrong
    assert len(index) == 5 * 64
