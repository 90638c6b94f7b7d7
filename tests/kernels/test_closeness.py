import numpy as np
import pytest
import torch
from bounds import sum_error, within

from headrace.kernels import settings
from headrace.kernels.closeness import closeness

BACKENDS = ("reference", "native")
ITEMS = 50


def asked(
    batch: int, longest: int, length: int, dim: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed + batch)
    content = torch.nn.functional.normalize(torch.randn(ITEMS, dim, generator=generator), dim=1)
    recent = torch.randint(-1, ITEMS, (batch, length), generator=generator).int()
    recent[::3] = -1
    counts = torch.randint(0, longest + 1, (batch,), generator=generator)
    item = torch.randint(0, ITEMS, (int(counts.sum()),), generator=generator)
    return content, recent, torch.cat([counts.new_zeros(1), counts.cumsum(0)]), item


def brute(content: torch.Tensor, recent: torch.Tensor, offsets: torch.Tensor, item: torch.Tensor) -> np.ndarray:
    vectors = content.double().numpy()
    out = np.zeros((len(item), 2))
    for b, rows in enumerate(recent.tolist()):
        known = [row for row in rows if row >= 0]
        for i in range(int(offsets[b]), int(offsets[b + 1])):
            similar = [float(vectors[int(item[i])] @ vectors[row]) for row in known]
            out[i] = (np.mean(similar), max(similar)) if similar else (0, 0)
    return out


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch", [0, 1, 7, 33])
@pytest.mark.parametrize(("length", "dim"), [(0, 3), (1, 1), (5, 7), (15, 16), (16, 17), (20, 16), (31, 64), (70, 33)])
def test_equals_a_brute_force(backend: str, batch: int, length: int, dim: int) -> None:
    arguments = asked(batch, 9, length, dim)
    got = closeness(*arguments, backend=backend)
    assert got.dtype == torch.float32
    # A mean of dot products, or the largest of them: the terms of each sum to 1 at most, as of unit vectors.
    assert within(got, brute(*arguments), sum_error(length + dim + 1, 1))


def test_the_same_bits_for_every_isa_thread_count_and_batch() -> None:
    content, recent, offsets, item = asked(60, 150, 20, 16)
    answers = []
    for level in settings.usable_isas():
        with settings.isa(level):
            answers += [closeness(content, recent, offsets, item, threads=threads) for threads in (1, 2, 3)]
    each = torch.repeat_interleave(torch.arange(60), offsets.diff())
    answers.append(closeness(content, recent[each], torch.arange(len(item) + 1), item))
    assert len(item) > 4096
    assert all(torch.equal(answer, answers[0]) for answer in answers)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, 3e38])
@pytest.mark.parametrize("place", ["recent", "candidate"])
def test_what_is_not_finite_is_an_error(backend: str, bad: float, place: str) -> None:
    content, recent, offsets = torch.ones(9, 4), torch.tensor([[1, 2]]).int(), torch.tensor([0, 6])
    item = torch.tensor([3, 3, 3, 3, 3, 4])
    content[1 if place == "recent" else 4] = bad
    content[3, 0] = 0
    with pytest.raises(ValueError, match="content: expected finite"):
        closeness(content, recent, offsets, item, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"content": torch.ones(9, 4).long()}, TypeError, "content: expected float32"),
        ({"content": torch.ones(9, 0)}, ValueError, "content: expected at least 1 column"),
        ({"recent": torch.zeros(2, 3)}, TypeError, "recent: expected int32"),
        ({"recent": torch.full((2, 3), 9).int()}, ValueError, "recent: expected -1 to 8, got 9"),
        ({"recent": torch.full((2, 3), -2).int()}, ValueError, "recent: expected -1 to 8, got -2"),
        ({"item": torch.tensor([0, 1, 9])}, ValueError, "item: expected 0 to 8"),
        ({"item": torch.tensor([0, 1, -1])}, ValueError, "item: expected 0 to 8"),
        ({"offsets": torch.tensor([0, 3])}, ValueError, "offsets: expected 3 entries for 2 requests"),
        ({"offsets": torch.tensor([0, 4, 3])}, ValueError, "offsets: expected no falling"),
        ({"offsets": torch.tensor([0, 1, 2])}, ValueError, "offsets: expected to run from 0 to 3"),
    ],
)
def test_bad_arguments(backend: str, change: dict[str, object], error: type[Exception], words: str) -> None:
    good = {"content": torch.ones(9, 4), "recent": torch.zeros(2, 3, dtype=torch.int32)}
    good |= {"offsets": torch.tensor([0, 2, 3]), "item": torch.tensor([0, 1, 2])}
    with pytest.raises(error, match=words):
        closeness(**{**good, **change}, backend=backend)  # type: ignore[arg-type]


def test_as_a_torch_operator() -> None:
    arguments = (*asked(5, 4, 3, 8), "auto", 0)
    torch.library.opcheck(torch.ops.headrace.closeness, arguments, test_utils=("test_schema", "test_faketensor"))
