from itertools import pairwise

import numpy as np
import pytest
import torch

from headrace.kernels.pool_items import pool_items

BACKENDS = ("reference", "native")


def lists_of(
    batch: int, count: int, longest: int, distinct: bool, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Offsets [count, batch + 1], items and float64 scores; each item once in a list where `distinct`."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, longest + 1, (count, batch))
    ends = np.append(0, np.cumsum(sizes))
    offsets = np.stack([ends[c * batch : (c + 1) * batch + 1] for c in range(count)])
    span = 2 * longest + 3
    parts = [rng.permutation(span)[:n] if distinct else rng.integers(0, span, n) for n in sizes.flatten()]
    item = np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int64) - 2
    return torch.from_numpy(offsets), torch.from_numpy(item), torch.from_numpy(rng.integers(-9, 9, len(item)) / 3)


def brute(
    offsets: torch.Tensor, item: torch.Tensor, k: int, score: torch.Tensor | None, limits: list[int]
) -> list[list[tuple[int, float, int]]]:
    pages = []
    for b in range(offsets.shape[1] - 1):
        total: dict[int, float] = {}
        lists: dict[int, int] = {}
        for c in range(offsets.shape[0]):
            first = int(offsets[c, b])
            for i in range(first, min(int(offsets[c, b + 1]), first + limits[c])):
                worth = 1 / (60 + i - first + 1) if score is None else float(score[i])
                key = int(item[i])
                total[key] = total.get(key, 0.0) + worth
                lists[key] = lists.get(key, 0) | 1 << c
        rounded = {key: float(np.float32(value)) for key, value in total.items()}
        best = sorted(rounded, key=lambda key: (-rounded[key], key))[:k]
        pages.append([(key, rounded[key], lists[key]) for key in best])
    return pages


def pages_of(answer: tuple[torch.Tensor, ...]) -> list[list[tuple[int, float, int]]]:
    offsets, item, score, lists = (tensor.tolist() for tensor in answer)
    rows = list(zip(item, score, lists, strict=True))
    return [rows[a:b] for a, b in pairwise(offsets)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("batch", "count", "longest"), [(0, 2, 3), (1, 1, 0), (1, 5, 300), (7, 3, 33), (17, 63, 9)])
@pytest.mark.parametrize("k", [1, 16, 2**62])
def test_equals_a_brute_force(backend: str, batch: int, count: int, longest: int, k: int) -> None:
    for scored in (False, True):
        offsets, item, score = lists_of(batch, count, longest, not scored)
        worth = score if scored else None
        for limits in (None, [1 + 5 * c for c in range(count)]):
            answer = pool_items(offsets, item, k, score=worth, limits=limits, backend=backend)
            most = [len(item) + 1] * count if limits is None else limits
            assert pages_of(answer) == brute(offsets, item, k, worth, most)
            assert answer[2].dtype == torch.float32


@pytest.mark.parametrize("backend", BACKENDS)
def test_sums_of_reciprocal_ranks(backend: str) -> None:
    offsets = torch.tensor([[0, 2], [2, 4]])
    answer = pool_items(offsets, torch.tensor([7, 5, 5, 9]), 9, constant=1.0, backend=backend)
    assert pages_of(answer) == [[(5, pytest.approx(1 / 3 + 1 / 2), 3), (7, 0.5, 1), (9, pytest.approx(1 / 3), 2)]]


def test_the_same_for_every_thread_count() -> None:
    offsets, item, score = lists_of(90, 4, 100, False)
    expected = pool_items(offsets, item, 50, score=score, threads=1)
    for threads in (2, 3):
        for got, one in zip(pool_items(offsets, item, 50, score=score, threads=threads), expected, strict=True):
            assert torch.equal(got, one)


@pytest.mark.parametrize("backend", BACKENDS)
def test_items_that_share_half_of_their_bits(backend: str) -> None:
    item = torch.arange(5) * 2**32 + 7
    answer = pool_items(torch.tensor([[0, 10]]), item.repeat(2), 9, score=torch.ones(10).double(), backend=backend)
    assert answer[1].tolist() == item.tolist()
    assert answer[2].tolist() == [2.0] * 5


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"k": 0}, ValueError, "k: expected at least 1, got 0"),
        (
            {"item": torch.tensor([1, 1, 2, 3])},
            ValueError,
            "item: expected each once in a list, got one twice in list 0",
        ),
        ({"item": torch.zeros(4)}, TypeError, "item: expected int64"),
        ({"score": torch.ones(3).double()}, ValueError, "score: expected 4 entries"),
        ({"score": torch.ones(4).long()}, TypeError, "score: expected float64"),
        ({"score": torch.tensor([1.0, torch.nan, 1.0, 1.0]).double()}, ValueError, "score: expected numbers, got NaN"),
        ({"limits": [1]}, ValueError, "limits: expected 2 of at least 1"),
        ({"limits": [1, 0]}, ValueError, "limits: expected 2 of at least 1"),
        ({"constant": -1.0}, ValueError, "constant: expected more than -1"),
        ({"offsets": torch.tensor([[0, 2], [4, 2]])}, ValueError, "offsets: expected list 1 to rise within 0 to 4"),
        ({"offsets": torch.tensor([[-1, 2], [2, 4]])}, ValueError, "offsets: expected list 0 to rise within 0 to 4"),
        ({"offsets": torch.tensor([[0, 2], [2, 5]])}, ValueError, "offsets: expected list 1 to rise within 0 to 4"),
        ({"offsets": torch.zeros(64, 2, dtype=torch.int64)}, ValueError, "offsets: expected 1 to 63 rows"),
    ],
)
def test_bad_arguments(backend: str, change: dict[str, object], error: type[Exception], words: str) -> None:
    good = {"offsets": torch.tensor([[0, 2], [2, 4]]), "item": torch.arange(4), "k": 3}
    with pytest.raises(error, match=words):
        pool_items(**{**good, **change}, backend=backend)  # type: ignore[arg-type]


@pytest.mark.parametrize("ranks", [False, True])
def test_as_a_torch_operator(ranks: bool) -> None:
    offsets, item, score = lists_of(3, 2, 5, False)
    arguments = (offsets, item, score, [4, 4], 60.0, 3, ranks, "auto", 0)
    torch.library.opcheck(torch.ops.headrace.pool_items, arguments, test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize("k", [3, 500])
def test_ranks_are_the_first_places_in_each_list(backend: str, scored: bool, k: int) -> None:
    offsets, item, score = lists_of(7, 5, 33, not scored)
    limits = [1 + 9 * c for c in range(5)]
    kept, pooled, *_, rank = pool_items(
        offsets, item, k, score=score if scored else None, limits=limits, ranks=True, backend=backend
    )
    assert rank.dtype == torch.int32
    assert rank.shape == (len(pooled), 5)
    for b, (first, last) in enumerate(pairwise(kept.tolist())):
        for c in range(5):
            given = item[offsets[c, b] : offsets[c, b + 1]][: limits[c]].tolist()
            expected = [given.index(one) + 1 if one in given else 0 for one in pooled[first:last].tolist()]
            assert rank[first:last, c].tolist() == expected


@pytest.mark.parametrize("backend", BACKENDS)
def test_ranks_change_nothing_else(backend: str) -> None:
    offsets, item, score = lists_of(9, 3, 20, False)
    plain = pool_items(offsets, item, 7, score=score, backend=backend)
    ranked = pool_items(offsets, item, 7, score=score, ranks=True, backend=backend)
    assert len(plain) == 4
    assert len(ranked) == 5
    for one, other in zip(plain, ranked[:4], strict=True):
        assert torch.equal(one, other)
    nothing = pool_items(torch.zeros(2, 4, dtype=torch.int64), item[:0], 7, ranks=True, backend=backend)
    assert nothing[4].shape == (0, 2)
