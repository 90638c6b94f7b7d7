"""The approximate index against the exact one: scores, order, masks, the way back to exact, files."""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from headrace.kernels import TopKIndex
from headrace.kernels.topk import METRICS, rounded
from headrace.kernels.topk.reference import exact_scores
from headrace.search.ann import AnnIndex
from headrace.search.ann.faiss_finder import load_faiss

needs_faiss = pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="faiss is not installed")
FAISS = ("ivf", "ivfpq", "hnsw")
METHODS = [pytest.param(name, marks=needs_faiss) for name in FAISS] + ["lsh"]
#: Settings that leave something to be missed on a small catalogue.
COARSE: dict[str, dict[str, Any]] = {
    "ivf": {"n_lists": 20, "n_probes": 3},
    "ivfpq": {"n_lists": 12, "n_probes": 4, "codes": 4, "oversample": 4},
    "hnsw": {"links": 4, "ef_construction": 20, "ef_search": 20},
    "lsh": {"n_tables": 8, "n_bits": 3},
}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def coarse(method: str, metric: str = "ip", fallback: str = "never", n_items: int = 700) -> AnnIndex:
    ids = torch.randperm(n_items, generator=torch.Generator().manual_seed(2)) * 10**12
    return AnnIndex(normal(n_items, 10), ids, metric, method, fallback, **COARSE[method])


def bits(allowed: Tensor) -> Tensor:
    """A mask from bool [..., N]."""
    padded = torch.nn.functional.pad(allowed.long(), (0, -allowed.shape[-1] % 64))
    return (padded.unflatten(-1, (-1, 64)) << torch.arange(64)).sum(-1)


def recall(found: Tensor, true: Tensor) -> float:
    return sum(torch.isin(a[a >= 0], b).double().sum().item() for a, b in zip(found, true, strict=True)) / true.numel()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("method", METHODS)
def test_scores_and_order_are_those_of_a_brute_force_over_what_is_found(method: str, metric: str) -> None:
    index, queries = coarse(method, metric), normal(33, 10, seed=1)
    scores, ids = index.search(queries, 15)
    exact_all, ids_all = TopKIndex(index.items, index.ids, metric).search(queries, len(index))
    assert (scores.dtype, ids.dtype) == (torch.float32, torch.int64)
    assert scores.shape == ids.shape == (33, 15)
    for b in range(33):
        found = ids[b][ids[b] >= 0]
        assert len(found.unique()) == len(found)
        rank = {item: r for r, item in enumerate(ids_all[b].tolist())}
        places = [rank[item] for item in found.tolist()]
        assert places == sorted(places)
        assert torch.equal(scores[b][: len(found)], exact_all[b][places])
        assert ids[b][len(found) :].tolist() == [-1] * (15 - len(found))
        assert bool((scores[b][len(found) :] == -torch.inf).all())
    share = recall(ids, ids_all[:, :15])
    assert 0.3 < share < 1


@needs_faiss
@pytest.mark.parametrize("metric", METRICS)
def test_all_lists_probed_is_exact_and_more_probes_find_more(metric: str) -> None:
    items, queries = normal(1000, 12), normal(17, 12, seed=1)
    true = TopKIndex(items, metric=metric).search(queries, 20)
    index = AnnIndex(items, metric=metric, method="ivf", fallback="never", n_lists=16, n_probes=1)
    shares = [recall(index.tuned(n_probes=n).search(queries, 20)[1], true[1]) for n in (1, 2, 4, 8, 16)]
    assert shares == sorted(shares)
    assert shares[0] < 0.9
    for mine, theirs in zip(index.tuned(n_probes=16).search(queries, 20), true, strict=True):
        assert torch.equal(mine, theirs)
    assert index.tuned(n_probes=999).settings.n_probes == 16  # type: ignore[union-attr]


@needs_faiss
def test_rescoring_more_candidates_mends_what_codes_lose() -> None:
    items, queries = normal(1000, 16), normal(17, 16, seed=1)
    true = TopKIndex(items).search(queries, 10)[1]
    index = AnnIndex(items, method="ivfpq", fallback="never", n_lists=4, n_probes=4, codes=2)
    shares = [recall(index.tuned(oversample=n).search(queries, 10)[1], true) for n in (1, 4, 100)]
    assert shares[0] < 0.6
    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.mark.parametrize("method", METHODS)
def test_results_do_not_depend_on_batch_or_threads(method: str) -> None:
    index, queries = coarse(method), normal(31, 10, seed=1)
    scores, ids = index.search(queries, 9)
    for threads in (1, 3):
        assert torch.equal(index.search(queries, 9, threads=threads)[1], ids)
    for b in range(31):
        one = index.search(queries[b : b + 1], 9)
        assert torch.equal(one[0][0], scores[b])
        assert torch.equal(one[1][0], ids[b])
    assert index.search(queries[:0], 9)[1].shape == (0, 9)


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_is_one_index(method: str) -> None:
    queries = normal(31, 10, seed=1)
    assert torch.equal(coarse(method).search(queries, 9)[1], coarse(method).search(queries, 9)[1])


@pytest.mark.parametrize("method", METHODS)
def test_ties_go_to_the_lower_id(method: str) -> None:
    ids = torch.arange(300).flip(0)
    index = AnnIndex(torch.ones(300, 4), ids, method=method, fallback="never")
    found = index.search(torch.ones(2, 4), 5)[1]
    assert found.tolist() == found.sort().values.tolist()


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("method", METHODS)
def test_a_mask_for_all_queries(method: str, share: float) -> None:
    index, queries = coarse(method), normal(7, 10, seed=1)
    allowed = torch.rand(700, generator=torch.Generator().manual_seed(3)) < share
    ids = index.search(queries, 20, bits(allowed))[1]
    assert bool(torch.isin(ids[ids >= 0], index.ids[allowed]).all())
    assert bool((ids >= 0).any()) == bool(allowed.any())
    if share == 1:
        assert torch.equal(ids, index.search(queries, 20)[1])
    exact = TopKIndex(index.items, index.ids).search(queries, 20, bits(allowed))
    chosen = index.tuned("auto")
    assert chosen.searches_exactly(7, bits(allowed)) == (share < 0.5)
    if share < 0.5:
        assert torch.equal(chosen.search(queries, 20, bits(allowed))[1], exact[1])


@needs_faiss
def test_a_walk_is_wider_where_a_mask_allows_less() -> None:
    items, queries = normal(2000, 16), normal(50, 16, seed=1)
    index = AnnIndex(items, fallback="never", links=8, ef_search=40)
    shares = []
    for share in (1.0, 0.5, 0.3):
        mask = bits(torch.rand(2000, generator=torch.Generator().manual_seed(3)) < share)
        shares.append(recall(index.search(queries, 10, mask)[1], TopKIndex(items).search(queries, 10, mask)[1]))
    assert 0.8 < shares[0] < 1
    assert min(shares) > shares[0] - 0.05


def test_hashing_takes_masks_by_query() -> None:
    index, queries = coarse("lsh"), normal(7, 10, seed=1)
    allowed = torch.rand(7, 700, generator=torch.Generator().manual_seed(3)) < 0.5
    whole = index.search(queries, 700)[1]
    got = index.search(queries, 700, bits(allowed).view(torch.uint64))[1]
    for b in range(7):
        may = index.ids[allowed[b]]
        assert got[b][got[b] >= 0].tolist() == [i for i in whole[b].tolist() if i in may]


@pytest.mark.parametrize("method", METHODS)
def test_the_mask_of_the_only_query_is_one_for_all(method: str) -> None:
    index, queries = coarse(method), normal(1, 10, seed=1)
    mask = bits(torch.rand(700, generator=torch.Generator().manual_seed(3)) < 0.5)
    for mine, theirs in zip(index.search(queries, 9, mask[None]), index.search(queries, 9, mask), strict=True):
        assert torch.equal(mine, theirs)


@needs_faiss
def test_masks_by_query_are_searched_exactly_or_refused() -> None:
    index, queries = coarse("hnsw"), normal(7, 10, seed=1)
    mask = bits(torch.rand(7, 700, generator=torch.Generator().manual_seed(3)) < 0.5)
    with pytest.raises(ValueError, match="mask: expected one for all queries, with hnsw and no fallback"):
        index.search(queries, 9, mask)
    exact = TopKIndex(index.items, index.ids).search(queries, 9, mask)
    assert torch.equal(index.tuned("auto").search(queries, 9, mask)[1], exact[1])


@pytest.mark.parametrize("method", METHODS)
def test_always_is_the_exact_index(method: str) -> None:
    index, queries = coarse(method).tuned("always"), normal(7, 10, seed=1)
    for mine, theirs in zip(
        index.search(queries, 800), TopKIndex(index.items, index.ids).search(queries, 800), strict=True
    ):
        assert torch.equal(mine, theirs)


def test_what_was_measured_chooses_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = [False, False, True, True]
    monkeypatch.setattr("headrace.search.ann.index.faster_exact", lambda *_: measured)
    index = AnnIndex(normal(300, 4), method="lsh")
    assert [index.searches_exactly(batch) for batch in (0, 1, 8, 63, 64, 1000)] == [False] * 4 + [True] * 2
    assert not index.tuned("never").searches_exactly(1000)
    assert index.tuned("always").searches_exactly(1)


def test_measuring_names_the_faster() -> None:
    index = AnnIndex(normal(300, 4), method="lsh")
    assert [type(choice) for choice in index._faster_exact] == [bool] * 4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_items", [0, 1, 7, 255])
def test_few_items_are_searched_exactly(n_items: int, method: str, tmp_path: Path) -> None:
    items, queries = normal(n_items, 5), normal(3, 5, seed=1)
    index = AnnIndex(items, method=method, fallback="never")
    true = TopKIndex(items).search(queries, 9)
    index.save(tmp_path / "index")
    for one in (index, AnnIndex.load(tmp_path / "index")):
        assert len(one) == n_items
        assert all(torch.equal(a, b) for a, b in zip(one.search(queries, 9), true, strict=True))


@pytest.mark.parametrize("largest", [0.0, 1e-40, 1e15, 3e38])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("method", METHODS)
def test_strange_vectors_are_no_trouble(method: str, metric: str, largest: float) -> None:
    items = normal(400, 7).clamp(-1, 1)
    items[:40] = 0
    items[40:80] *= 1e-38
    items[80:] *= largest
    far = normal(2, 7, seed=2).clamp(-1, 1)
    queries = torch.cat([normal(5, 7, seed=1), torch.zeros(1, 7), far * 1e-40, far * 3e38])
    scores, ids = AnnIndex(items, metric=metric, method=method, fallback="never").search(queries, 400)
    for b in range(len(queries)):
        found = ids[b][ids[b] >= 0]
        assert torch.equal(scores[b][: len(found)], rounded(exact_scores(queries[b], items[found], metric)))


@needs_faiss
@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e30])
@pytest.mark.parametrize("metric", METRICS)
def test_finding_does_not_depend_on_the_unit(metric: str, scale: float) -> None:
    items, queries = normal(700, 10), normal(9, 10, seed=1)
    true = TopKIndex(items, metric=metric).search(queries, 15)[1]
    scaled = AnnIndex(items * scale, metric=metric, fallback="never", links=8, ef_search=50)
    # Squared distances of 1e-30 vectors are below float32, which is what scores are rounded to, not what ranks.
    assert recall(scaled.search(queries * scale, 15)[1], true) > 0.9


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fallback", ["auto", "never"])
def test_save_and_load(method: str, fallback: str, tmp_path: Path) -> None:
    index, queries = coarse(method, "cosine", fallback), normal(9, 10, seed=1)
    index.save(tmp_path / "index")
    index.save(tmp_path / "index")
    assert [file.name for file in tmp_path.iterdir()] == ["index"]
    again = AnnIndex.load(tmp_path / "index")
    assert (again.method, again.settings, again.fallback) == (method, index.settings, fallback)
    assert [again.searches_exactly(b) for b in (1, 9, 70, 300)] == [index.searches_exactly(b) for b in (1, 9, 70, 300)]
    assert torch.equal(again.ids, index.ids)
    for mine, theirs in zip(again.search(queries, 5), index.search(queries, 5), strict=True):
        assert torch.equal(mine, theirs)


def test_files_have_every_id_and_the_mode_of_the_umask(tmp_path: Path) -> None:
    path, last = tmp_path / "index", 2**63 - 1
    before = os.umask(0o027)
    try:
        for ids in ([last], [2**62], list(range(last - 299, last + 1)), [2**62 + 5 * i for i in range(300)]):
            index = AnnIndex(normal(len(ids), 4), torch.tensor(ids), method="lsh", n_tables=2)
            index.save(path)
            again, queries = AnnIndex.load(path), normal(2, 4, seed=1)
            assert again.ids.tolist() == ids
            assert torch.equal(again.search(queries, 3)[1], index.search(queries, 3)[1])
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_save_reaches_the_disk_and_so_does_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", lambda file: synced.append(os.fstat(file).st_ino))
    AnnIndex(normal(9, 4), method="lsh").save(tmp_path / "index")
    assert (tmp_path / "index").stat().st_ino in synced[:-1]
    assert synced[-1] == tmp_path.stat().st_ino


@pytest.mark.parametrize("method", METHODS)
def test_a_loaded_index_does_not_depend_on_its_file(method: str, tmp_path: Path) -> None:
    path, queries = tmp_path / "index", normal(9, 10, seed=1)
    index = coarse(method)
    index.save(path)
    again = AnnIndex.load(path)
    path.write_bytes(bytes(path.stat().st_size))
    os.truncate(path, 10)
    for mine, theirs in zip(again.search(queries, 5), index.search(queries, 5), strict=True):
        assert torch.equal(mine, theirs)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "index"
    AnnIndex(normal(300, 4), method="lsh", fallback="never", n_tables=2).save(path)
    good = path.read_bytes()
    for at in [*range(200), *range(200, len(good), 211)]:
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :])
        with pytest.raises(ValueError, match=str(path)):
            AnnIndex.load(path)
    for content in (b"", good[:100], good[:-1], good + b"\0", b"PK" + bytes(500)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not an approximate index, or cut short"):
            AnnIndex.load(path)
    path.write_bytes(good.replace(b"headrace-ann", b"headrace-bnn"))
    with pytest.raises(ValueError, match="not an approximate index"):
        AnnIndex.load(path)
    path.write_bytes(good.replace(b'"version":"1"', b'"version":"7"'))
    with pytest.raises(ValueError, match="version 7; this release reads version 1"):
        AnnIndex.load(path)
    with pytest.raises(FileNotFoundError):
        AnnIndex.load(tmp_path / "absent")


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "index"
    AnnIndex(normal(300, 4), method="lsh").save(path)
    before = path.read_bytes()

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="disk full"):
        AnnIndex(normal(301, 4), method="lsh").save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["index"]
    monkeypatch.undo()
    with pytest.raises(OSError, match="no_such_folder"):
        AnnIndex(normal(301, 4), method="lsh").save(tmp_path / "no_such_folder" / "index")


def test_what_arrives_wrong_is_named() -> None:
    index, few = coarse("lsh"), normal(3, 4)
    nan = normal(2, 10)
    nan[1, 2] = torch.nan
    for error, match, call in [
        (
            ValueError,
            "method: expected one of ivf, ivfpq, hnsw, lsh, got 'annoy'",
            lambda: AnnIndex(few, method="annoy"),
        ),
        (ValueError, "fallback: expected one of auto, never, always, got 'no'", lambda: AnnIndex(few, fallback="no")),
        (ValueError, "fallback: expected one of", lambda: index.tuned("no")),
        (TypeError, "links: method 'lsh' takes n_tables, n_bits, width", lambda: AnnIndex(few, method="lsh", links=4)),
        (
            ValueError,
            "n_lists: Input should be greater than or equal to 1, got 0",
            lambda: AnnIndex(few, method="ivf", n_lists=0),
        ),
        (ValueError, "links: Input should be greater than or equal to 2, got 1", lambda: AnnIndex(few, links=1)),
        (ValueError, "ef_search: Input should be a valid integer, got 2.5", lambda: AnnIndex(few, ef_search=2.5)),
        (ValueError, "width: Input should be greater than 0, got -1", lambda: AnnIndex(few, method="lsh", width=-1)),
        (TypeError, "n_bits: expected one of nothing", lambda: index.tuned(n_bits=3)),
        (ValueError, "metric: expected one of", lambda: AnnIndex(few, metric="dot")),
        (ValueError, "items: expected finite values.* row 1", lambda: AnnIndex(nan)),
        (TypeError, "items: expected float32, got int64", lambda: AnnIndex(few.long())),
        (ValueError, "items: expected 2 dimensions", lambda: AnnIndex([1.0])),  # type: ignore[arg-type]
        (ValueError, "ids: expected distinct ids, got 9 twice", lambda: AnnIndex(normal(2, 3), torch.tensor([9, 9]))),
        (ValueError, "k: expected at least 1, got 0", lambda: index.search(normal(2, 10), 0)),
        (ValueError, "queries: expected finite values.* row 1", lambda: index.search(nan, 3)),
        (ValueError, "items: expected 4 columns", lambda: index.search(few, 3)),
        (TypeError, "queries: expected float32, got int64", lambda: index.search(normal(2, 10).long(), 3)),
        (ValueError, r"mask: expected shape \[11\]", lambda: index.search(normal(2, 10), 3, torch.zeros(10).long())),
        (ValueError, r"items: expected shape \[700, 10\]", lambda: AnnIndex.from_state(few, None, index.state())),
    ]:
        with pytest.raises(error, match=match):
            call()


@pytest.mark.parametrize("method", METHODS)
def test_many_threads_search_one_index(method: str) -> None:
    index, queries = coarse(method), normal(16, 10, seed=1)
    true, wrong = index.search(queries, 9)[1], []

    def search() -> None:
        for n in range(30):
            width = 1 + n % 16
            if not torch.equal(index.search(queries[:width], 9)[1], true[:width]):
                wrong.append(width)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_without_faiss_hashing_works_and_the_rest_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    load_faiss.cache_clear()
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert AnnIndex(normal(300, 4), method="lsh").search(normal(2, 4), 3)[1].shape == (2, 3)
    with pytest.raises(ImportError, match=r"faiss: not installed.*pip install 'headrace\[ann\]'"):
        AnnIndex(normal(300, 4))
