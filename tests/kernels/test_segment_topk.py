import threading
from itertools import pairwise

import pytest
import torch

from headrace.kernels import settings
from headrace.kernels.segment_topk import segment_topk

BACKENDS = ("reference", "native")
SIZES = (1, 7, 15, 16, 17, 31, 33, 47, 48, 49, 63, 65, 97, 1000)


def ragged(counts: list[int], values: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Offsets, scores (`values` distinct ones: 0 for all different) and ties with repeats."""
    generator = torch.Generator().manual_seed(seed)
    offsets = torch.tensor([0, *counts]).cumsum(0)
    n = int(offsets[-1])
    score = torch.randn(n, generator=generator)
    if values:
        score = torch.randint(-values, values + 1, (n,), generator=generator) / 4.0 * -1.0
    return offsets, score, torch.randint(-50, 50, (n,), generator=generator)


def brute(offsets: torch.Tensor, score: torch.Tensor, tie: torch.Tensor, k: int) -> tuple[list[int], list[int]]:
    scores, ties, bounds = score.double().tolist(), tie.tolist(), offsets.tolist()
    found, kept = [], [0]
    for first, last in pairwise(bounds):
        best = sorted(range(first, last), key=lambda i: (-scores[i], ties[i], i))[:k]
        found += best
        kept.append(kept[-1] + len(best))
    return found, kept


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("values", [0, 1, 6])
@pytest.mark.parametrize("k", [1, 5, 16, 500, 2**62])
def test_equals_a_brute_force(backend: str, values: int, k: int) -> None:
    offsets, score, tie = ragged([0, *SIZES, 0], values)
    index, kept = segment_topk(offsets, score, tie, k, backend=backend)
    assert (index.tolist(), kept.tolist()) == brute(offsets, score, tie, k)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_in_nothing_out(backend: str) -> None:
    none, empty = torch.zeros(0, dtype=torch.int64), torch.zeros(0)
    assert [t.tolist() for t in segment_topk(torch.tensor([0]), empty, none, 3, backend=backend)] == [[], [0]]
    assert [t.tolist() for t in segment_topk(torch.tensor([0, 0]), empty, none, 3, backend=backend)] == [[], [0, 0]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_infinities_have_a_place_and_zeros_are_equal(backend: str) -> None:
    score = torch.tensor([-torch.inf, 0.0, -0.0, torch.inf, -1.0, 1e-45, -1e-45])
    tie = torch.tensor([0, 9, 3, 0, 0, 0, 0])
    index, _ = segment_topk(torch.tensor([0, 7]), score, tie, 7, backend=backend)
    assert index.tolist() == [3, 5, 2, 1, 6, 4, 0]


def test_a_long_segment_with_ties_at_the_edge() -> None:
    offsets, score, tie = ragged([100_000], 40, 1)
    for k in (1, 10, 3000, 99_999):
        expected = segment_topk(offsets, score, tie, k, backend="reference")
        assert torch.equal(segment_topk(offsets, score, tie, k)[0], expected[0])


def test_the_same_for_every_thread_count_and_batch() -> None:
    offsets, score, tie = ragged([313] * 70, 9)
    whole, _ = segment_topk(offsets, score, tie, 40, threads=1)
    for threads in (2, 3):
        assert torch.equal(segment_topk(offsets, score, tie, 40, threads=threads)[0], whole)
    for b in (0, 17, 69):
        alone, _ = segment_topk(torch.tensor([0, 313]), score[b * 313 :][:313], tie[b * 313 :][:313], 40)
        assert torch.equal(alone + b * 313, whole[b * 40 : b * 40 + 40])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"k": 0}, ValueError, "k: expected at least 1, got 0"),
        (
            {"score": torch.tensor([1.0, 2.0, torch.nan, 1.0])},
            ValueError,
            "score: expected numbers, got NaN at position 2",
        ),
        ({"score": torch.ones(4).long()}, TypeError, "score: expected float32"),
        ({"tie": torch.zeros(3, dtype=torch.int64)}, ValueError, "tie: expected 4 entries"),
        ({"tie": torch.zeros(4)}, TypeError, "tie: expected int64"),
        ({"offsets": torch.tensor([0, 3, 2, 4])}, ValueError, "offsets: expected no falling entries, got a fall at 1"),
        ({"offsets": torch.tensor([0, 3])}, ValueError, "offsets: expected to run from 0 to 4"),
        ({"offsets": torch.tensor([0, 9, 4])}, ValueError, "offsets: expected no falling"),
        ({"offsets": torch.zeros(0, dtype=torch.int64)}, ValueError, "offsets: expected at least 1"),
    ],
)
def test_bad_arguments(backend: str, change: dict[str, object], error: type[Exception], words: str) -> None:
    good = {
        "offsets": torch.tensor([0, 2, 4]),
        "score": torch.ones(4),
        "tie": torch.zeros(4, dtype=torch.int64),
        "k": 1,
    }
    with pytest.raises(error, match=words):
        segment_topk(**{**good, **change}, backend=backend)  # type: ignore[arg-type]


def test_many_threads_at_once() -> None:
    offsets, score, tie = ragged([200] * 20, 3)
    expected, _ = segment_topk(offsets, score, tie, 30)
    wrong: list[int] = []

    def call() -> None:
        for _ in range(20):
            if not torch.equal(segment_topk(offsets, score, tie, 30)[0], expected):
                wrong.append(1)

    callers = [threading.Thread(target=call) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_as_a_torch_operator() -> None:
    offsets, score, tie = ragged([4, 0, 9], 2)
    tests = ("test_schema", "test_faketensor")
    torch.library.opcheck(torch.ops.headrace.segment_topk, (offsets, score, tie, 3, "auto", 0), test_utils=tests)


def test_isa_makes_no_difference() -> None:
    offsets, score, tie = ragged([97, 1000], 0)
    answers = []
    for level in settings.usable_isas():
        with settings.isa(level):
            answers.append(segment_topk(offsets, score, tie, 50)[0])
    assert all(torch.equal(answer, answers[0]) for answer in answers)
