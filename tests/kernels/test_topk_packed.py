"""Scans in low precision: the answers of the reference, whatever the data, instruction set, batch and threads."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from topk_vectors import ends_of_float32, normal
from torch import Tensor

from headrace.kernels import settings
from headrace.kernels.index import TopKIndex
from headrace.kernels.topk import METRICS, rounded, topk
from headrace.kernels.topk.packed import Packed, fastest

SCANS = ("bfloat16", "int8")


def whole(low: int, high: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed)).float()


def check(queries: Tensor, items: Tensor, k: int, metric: str, scan: str, mask: Tensor | None = None) -> None:
    """Every instruction set, with one and with three threads."""
    expected, rows = topk(queries, items, k, metric, mask, backend="reference")
    packed = Packed.of(items, metric, scan)
    for isa, threads in product(settings.usable_isas(), (1, 3)):
        copies = 8 if isa == "amx" else 1  # fewer than 8 queries use no tiles
        masks = mask if mask is None or mask.dim() == 1 else mask.repeat(copies, 1)
        with settings.isa(isa):
            scores, found, _ = packed.search(
                queries.repeat(copies, 1), items, k, metric, masks, backend="native", threads=threads
            )
        assert torch.equal(found, rows.repeat(copies, 1)), (isa, threads)
        assert torch.equal(rounded(scores), expected.repeat(copies, 1)), (isa, threads)


SHAPES = [
    (1, 1, 1, 1),
    (2, 7, 3, 9),
    (3, 31, 2, 5),
    (4, 33, 5, 33),
    (5, 63, 16, 4),
    (7, 65, 17, 65),
    (13, 255, 31, 40),
    (16, 257, 33, 100),
    (33, 1000, 64, 130),
    (97, 2100, 65, 20),
    (200, 1000, 97, 7),
]


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_random_vectors(shape: tuple[int, int, int, int], metric: str, scan: str) -> None:
    n_queries, n_items, dim, k = shape
    check(normal(n_queries, dim), normal(n_items, dim, seed=1), k, metric, scan)


def clusters(n: int, dim: int) -> Tensor:
    centres = 3 * normal(8, dim, seed=4)
    return centres[whole(0, 8, n, seed=5).long()] + 0.01 * normal(n, dim, seed=6)


def near_ties(n: int, dim: int) -> Tensor:
    """One vector, moved in the last bits of its float32 numbers: far below the rounding of any scan."""
    return normal(1, dim, seed=5) * (1 + whole(-3, 4, n, dim, seed=6) * 2.0**-23)


def mixed_norms(n: int, dim: int) -> Tensor:
    order = normal(n, seed=10).argsort()
    return normal(n, dim, seed=7) * torch.logspace(-30, 30, n)[order].unsqueeze(1)


DATA: dict[str, Callable[[int, int], Tensor]] = {
    "clusters": clusters,
    "near ties": near_ties,
    "mixed norms": mixed_norms,
    "ends of float32": ends_of_float32,
    "duplicates": lambda n, dim: normal(5, dim, seed=9)[whole(0, 5, n).long()],
    "small integers": lambda n, dim: whole(-1, 2, n, dim),
    "one large dimension": lambda n, dim: normal(n, dim) * torch.cat([torch.tensor([1e4]), torch.ones(dim - 1)]),
    "rising": lambda n, dim: normal(n, dim)[normal(n, dim)[:, 0].argsort()],
    "zeros": torch.zeros,
}


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("data", DATA)
def test_awkward_vectors(data: str, metric: str, scan: str) -> None:
    items = DATA[data](1500, 24)
    queries = torch.cat([items[:3], items[700:702], normal(2, 24, seed=2), torch.zeros(1, 24), 1e-41 * normal(1, 24)])
    check(queries, items, 60, metric, scan)


@pytest.mark.parametrize("scan", SCANS)
def test_queries_at_the_ends_of_float32(scan: str) -> None:
    items = normal(900, 10, seed=3)
    for size, metric in product((1e-38, 1e-30, 1e30, 3e37), METRICS):
        check(size * normal(5, 10).clamp(-3, 3), items, 20, metric, scan)


@pytest.mark.parametrize("scan", SCANS)
def test_subnormals_that_the_process_flushes(scan: str) -> None:
    items, queries = normal(600, 9) * 1e-20, normal(9, 9, seed=1) * 1e-20
    expected = topk(queries, items, 30, backend="reference")[1]
    packed = Packed.of(items, "ip", scan)
    assert torch.set_flush_denormal(True)
    try:
        found = packed.search(queries, items, 30, "ip", None, backend="native", threads=1)[1]
    finally:
        torch.set_flush_denormal(False)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("per_query", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.004, 0.1, 0.6, 1.0])
def test_masks(share: float, per_query: bool, scan: str) -> None:
    rng = np.random.default_rng(3)
    for n_queries, n_items in ((3, 65), (130, 1500)):
        allowed = rng.random((n_queries if per_query else 1, (n_items + 63) // 64 * 64)) < share
        words = torch.from_numpy(np.packbits(allowed, axis=-1, bitorder="little").view(np.int64))
        check(normal(n_queries, 20), normal(n_items, 20, seed=1), 12, "ip", scan, words if per_query else words[0])


@pytest.mark.parametrize("scan", SCANS)
def test_many_thinnings_and_large_k(scan: str) -> None:
    items = normal(12000, 16, seed=1)
    for k in (100, 3000):
        check(normal(5, 16), items[items[:, 0].argsort()], k, "ip", scan)


@pytest.mark.parametrize("scan", SCANS)
def test_answers_do_not_depend_on_the_batch(scan: str) -> None:
    index = TopKIndex(normal(3000, 32), scan=scan)
    queries = normal(300, 32, seed=1)
    scores, ids = index.search(queries, 20, threads=2)
    for part in (slice(0, 1), slice(5, 18), slice(100, 300)):
        alone = index.search(queries[part], 20, threads=3)
        assert torch.equal(alone[0], scores[part])
        assert torch.equal(alone[1], ids[part])


def steps(scan: str, numbers: Tensor) -> Tensor:
    """Values whose rounding turns `numbers` into the nearest integers; the first column sets the scale."""
    if scan == "bfloat16":
        return 1 + numbers * 2.0**-7
    return torch.cat([torch.full((len(numbers), 1), 127.0), numbers[:, 1:]], 1) / 128


@pytest.mark.parametrize("scan", SCANS)
def test_the_bound_holds_where_items_round_against_the_answer(scan: str) -> None:
    # Rounding lowers each of the best by 19 steps and raises the others, which the scan puts far in front.
    best = torch.full((50, 40), 20.49)
    others = torch.full((1000, 40), 19.51)
    others[:, :20] = 20.51
    items = torch.cat([steps(scan, others), steps(scan, best)])
    rows = topk(torch.ones(1, 40), items, 50, backend="reference")[1]
    assert rows.min() == 1000
    for metric in ("ip", "l2"):
        check(torch.ones(2, 40) * 4, items, 50, metric, scan)
    check(torch.ones(1, 40), items, 50, "ip", scan)


@pytest.mark.parametrize("scan", SCANS)
def test_the_bound_holds_where_queries_round_against_the_answer(scan: str) -> None:
    # The items are exact in either scan; the query rounds down where the best items are, and up where the others are.
    numbers = torch.full((1, 41), 20.49)
    numbers[:, 2::2] = 20.51
    items = torch.zeros(1050, 41)
    items[:1000, 2::2] = 1
    items[1000:, 1::2] = 1
    lift = 1 / 16 if scan == "bfloat16" else 3 / 127
    items[1000:, 1] += lift
    queries = steps(scan, numbers).repeat(5, 1)
    queries[1:, 1::2] += 2.0**-7 * 0.002
    for metric in METRICS:
        check(queries, items, 50, metric, scan)


@pytest.mark.parametrize("scan", SCANS)
def test_counts(scan: str) -> None:
    queries = normal(4, 16, seed=1)
    counts = TopKIndex(normal(5000, 16), scan=scan).search_counted(queries, 10)[2]
    assert counts is not None
    assert 40 <= counts.rescored < 4 * 1000
    ties = TopKIndex(torch.ones(5000, 16), scan=scan).search_counted(queries, 10)[2]
    assert ties is not None
    assert ties.widened > 0
    assert TopKIndex(normal(9, 2), scan="float32").search_counted(normal(1, 2), 1)[2] is None


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("metric", METRICS)
def test_changes_equal_a_fresh_index(metric: str, scan: str) -> None:
    items, queries = normal(1400, 12), normal(3, 12, seed=1)
    index = TopKIndex(items[:900], metric=metric, scan=scan)
    index.add(items[900:], torch.arange(900, 1400))
    index.remove(torch.tensor([700, 1300]))
    stays = torch.tensor([i for i in range(1400) if i not in (700, 1300)])
    fresh = TopKIndex(items[stays], stays, metric, scan)
    for mine, theirs in zip(index.search(queries, 30), fresh.search(queries, 30), strict=True):
        assert torch.equal(mine, theirs)


def test_auto_tries_the_items() -> None:
    assert fastest(normal(100, 8), "ip") is None
    chosen = fastest(normal(20000, 64), "ip")
    assert chosen is not None
    assert chosen.scan == "int8"
    assert fastest(near_ties(20000, 64), "ip") is None
    index = TopKIndex(normal(20000, 64))
    assert (index.scan, index.found_by) == ("auto", "int8")
    assert torch.equal(index.search(normal(2, 64), 9)[1], topk(normal(2, 64), index.items, 9)[1])


def test_other_backends_serve_a_packed_index() -> None:
    index = TopKIndex(normal(300, 8), scan="int8")
    expected = index.search(normal(2, 8), 5)
    for mine, theirs in zip(index.search(normal(2, 8), 5, backend="reference"), expected, strict=True):
        assert torch.equal(mine, theirs)
    with pytest.raises(RuntimeError, match="backend 'gpu' cannot serve"):
        index.search(normal(2, 8), 5, backend="gpu")


def test_what_arrives_wrong_is_named() -> None:
    items = normal(300, 8)
    index, packed = TopKIndex(items, scan="int8"), Packed.of(items, "ip", "int8")
    with pytest.raises(ValueError, match="k: expected at least 1, got 0"):
        index.search(normal(2, 8), 0)
    with pytest.raises(ValueError, match="queries: expected 8 columns"):
        index.search(normal(2, 9), 1)
    with pytest.raises(ValueError, match=r"queries: expected finite values, got NaN or infinity in row 1$"):
        index.search(torch.tensor([[0.0] * 8, [torch.nan] * 8]), 1)
    with pytest.raises(ValueError, match=r"packed: expected \d+ bytes, got \d+"):
        packed.search(normal(2, 8), normal(600, 8), 1, "ip", None, backend="native", threads=0)
    items[280, 3] = torch.inf
    with pytest.raises(ValueError, match=r"items: expected finite values, got NaN or infinity in row 280$"):
        Packed.of(items, "ip", "int8")


def test_operator_contract() -> None:
    items = normal(40, 4)
    packed = Packed.of(items, "l2", "bfloat16")
    mask = torch.tensor([5], dtype=torch.int64)
    arguments = (normal(2, 4), items, packed.data, 40, 3, "l2", "bfloat16", mask, "auto", 0)
    torch.library.opcheck(torch.ops.headrace.topk_packed.default, arguments)
