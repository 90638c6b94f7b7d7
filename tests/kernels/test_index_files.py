"""What an index writes: it loads whatever it holds, appears whole or not at all, and leaves nothing behind."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shards_oracle import assert_same
from topk_vectors import normal
from torch import Tensor

from headrace.kernels.index import TopKIndex, storage
from headrace.kernels.sharded import TopKShards, save_shards, shard_paths
from headrace.kernels.topk import METRICS

LAST = 2**63 - 1


@pytest.mark.parametrize("keep", ["memory", "mmap", "none"])
@pytest.mark.parametrize(
    "ids",
    [[2**62], [2**62 - 1, 2**62], [LAST], [LAST, LAST - 1, LAST - 2], [0, 2**62, LAST], list(range(2**62, 2**62 + 65))],
    ids=lambda ids: f"{len(ids)} to {max(ids)}",
)
def test_every_id_is_read_again(tmp_path: Path, ids: list[int], keep: str) -> None:
    names, items, queries = torch.tensor(ids), normal(len(ids), 5), normal(3, 5, seed=1)
    path = tmp_path / "index"
    index = TopKIndex(items, names, keep=keep, path=path if keep == "mmap" else None)
    index.save(path)
    for again in (index, TopKIndex.load(path), TopKIndex.load(path, mmap=False)):
        assert again.ids.tolist() == sorted(ids)
        assert_same(
            again.search(queries, 4),
            TopKIndex(items, names, keep="none" if keep == "none" else "memory").search(queries, 4),
        )
        assert again.mask(names[:1]).tolist() == index.mask(names[:1]).tolist()
        assert not bool(again.mask(torch.tensor([5, LAST - 70, -1])).any())
    save_shards(tmp_path / "shards", items, 2, names, keep="none" if keep == "none" else "memory")
    assert_same(TopKShards.load(tmp_path / "shards").search(queries, 4), index.search(queries, 4))


def test_an_id_beyond_the_last_is_a_damaged_table(tmp_path: Path) -> None:
    path = tmp_path / "index"
    TopKIndex(normal(3, 4), torch.tensor([LAST - 2, LAST - 1, LAST]), scan="float32").save(path)
    good = path.read_bytes()
    path.write_bytes(good[:128] + storage.ENTRY.pack(3, LAST - 1, 0) + good[160:])
    with pytest.raises(ValueError, match=f"{path}: damaged table of segments"):
        TopKIndex.load(path, verify=False)


class Drawn:
    """A catalogue and changes of it, from a seed: hypothesis chooses what it is like, not every number."""

    def __init__(self, seed: int, start: int, step: int, values: str) -> None:
        self._draw = torch.Generator().manual_seed(seed)
        self.start, self.step, self.values = start, step, values

    def items(self, n: int, dim: int) -> Tensor:
        items = torch.randn(n, dim, generator=self._draw)
        if self.values == "ends":
            items = items * torch.tensor([1e-42, 0.0, 1.0, 3e37])[torch.randint(4, (n, 1), generator=self._draw)]
            items[::5] = torch.finfo(torch.float32).max
        return items.round() if self.values == "ties" else items

    def ids(self, n: int, room: int) -> Tensor:
        return self.start + torch.randperm(room, generator=self._draw)[:n] * self.step

    def some(self, ids: Tensor, share: float) -> Tensor:
        return ids[torch.rand(len(ids), generator=self._draw) < share]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n=st.sampled_from([0, 1, 2, 64, 65, 257]),
    dim=st.sampled_from([1, 3, 17]),
    first=st.sampled_from([(0, 1), (7, 10**12), (2**62 - 3, 1), (2**62, 3), (LAST - 600, 1)]),
    values=st.sampled_from(["plain", "ends", "ties"]),
    metric=st.sampled_from(METRICS),
    how=st.sampled_from(
        [(keep, scan) for keep in ("memory", "mmap", "none") for scan in ("auto", "float32", "bfloat16", "int8")]
    ),
    changes=st.lists(st.sampled_from(["add", "remove", "upsert", "empty"]), max_size=4),
)
def test_whatever_is_saved_loads(
    seed: int,
    n: int,
    dim: int,
    first: tuple[int, int],
    values: str,
    metric: str,
    how: tuple[str, str],
    changes: list[str],
) -> None:
    keep, scan = how
    if how == ("none", "float32"):
        return
    drawn = Drawn(seed, *first, values)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        index = TopKIndex(drawn.items(n, dim), drawn.ids(n, 300), metric, scan, keep, path if keep == "mmap" else None)
        for change in changes:
            held = index.ids[index.ids >= 0]
            names = drawn.ids(40, 600)
            if change == "add":
                names = names[~torch.isin(names, held)]
                index.add(drawn.items(len(names), dim), names)
            elif change == "upsert":
                index.upsert(drawn.items(40, dim), names)
            else:
                index.remove(drawn.some(held, 0.4) if change == "remove" else held)
        index.save(path.with_name("other"))
        queries = drawn.items(3, dim)
        expected = index.search_float64(queries, 50)
        order = index.ids[index.ids >= 0].argsort()
        for again in (TopKIndex.load(path.with_name("other"), mmap) for mmap in (True, False)):
            assert (again.metric, again.scan, len(again)) == (metric, index.scan, len(index))
            assert_same(again.search_float64(queries, 50), expected)
            there = again.ids >= 0
            assert torch.equal(again.ids[there].sort().values, index.ids[index.ids >= 0][order])
            assert torch.equal(again.truth[there][again.ids[there].argsort()], index.truth[index.ids >= 0][order])


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_files_have_the_mode_of_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        TopKIndex(normal(3, 2)).save(tmp_path / "index")
        TopKIndex(normal(3, 2), keep="mmap", path=tmp_path / "mapped")
        save_shards(tmp_path / "deep" / "shards", normal(9, 2), 2)
    finally:
        os.umask(before)
    assert len(list(files(tmp_path))) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files(tmp_path)} == {0o666 & ~umask}
    assert stat.S_IMODE((tmp_path / "deep" / "shards").stat().st_mode) == 0o777 & ~umask


def test_a_save_reaches_the_disk_and_so_does_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    plain = os.fsync
    monkeypatch.setattr("os.fsync", lambda file: (synced.append(os.fstat(file).st_ino), plain(file)))
    for save, inside in (
        (lambda: TopKIndex(normal(3, 2)).save(tmp_path / "index"), [tmp_path / "index"]),
        (lambda: TopKIndex(normal(3, 2), keep="mmap", path=tmp_path / "mapped"), [tmp_path / "mapped"]),
        (lambda: save_shards(tmp_path / "shards", normal(9, 2), 2), [tmp_path / "shards"]),
    ):
        synced.clear()
        save()
        for path in [*inside, *(shard_paths(tmp_path / "shards") if inside[0].is_dir() else [])]:
            assert path.stat().st_ino in synced[:-1]
        assert synced[-1] == tmp_path.stat().st_ino


def killed(call: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs `call` in a fork that dies as the first head is written."""
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)  # the threads of its OpenMP did not come along
        monkeypatch.setattr(storage, "_head", lambda *_: os._exit(9))
        try:
            call()  # type: ignore[operator]
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_killed_writer_loses_nothing_and_leaves_nothing_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = TopKIndex(normal(3, 2))
    index.save(tmp_path / "index")
    before = (tmp_path / "index").read_bytes()
    for _ in range(3):
        killed(lambda: TopKIndex(normal(9, 2)).save(tmp_path / "index"), monkeypatch)
        killed(lambda: save_shards(tmp_path / "shards", normal(9, 2), 2), monkeypatch)
    assert (tmp_path / "index").read_bytes() == before
    assert not (tmp_path / "shards").exists()
    assert len(list(tmp_path.iterdir())) == 2
    index.save(tmp_path / "index")
    save_shards(tmp_path / "shards", normal(9, 2), 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "shards"]


def test_shards_are_not_saved_as_mapped(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep: expected memory or none, got 'mmap'"):
        save_shards(tmp_path / "shards", normal(9, 2), 2, keep="mmap")
    assert not list(tmp_path.iterdir())
