"""DPP and MMR judged in exact rational numbers: any scale of vectors, and ties to the lower position."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from headrace.kernels.diversity import dpp_picks, mmr_picks

BACKENDS = ["reference", "native"]
EPS = 1e-6
#: Of a square, what float64 cannot tell from 0.
LEAST = Fraction(1, 2**40)
Vector = list[Fraction]


def exact(rows: NDArray[np.float32]) -> list[Vector]:
    return [[Fraction(float(x)) for x in row] for row in rows]


def product(a: Vector, b: Vector) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))


def off(row: Vector, basis: list[Vector]) -> tuple[Fraction, Vector]:
    """The squared distance of a row from the span of an orthogonal basis, and what is left of the row."""
    rest = row
    for direction in basis:
        share = product(rest, direction) / product(direction, direction)
        rest = [x - share * y for x, y in zip(rest, direction, strict=True)]
    square = product(rest, rest)
    return (square if square >= LEAST * product(row, row) else Fraction(0)), rest


def dpp_scores(rows: list[Vector], rewards: NDArray[np.float32], held: list[int], theta: float) -> NDArray[np.float64]:
    basis: list[Vector] = []
    for item in held:
        square, rest = off(rows[item], basis)
        if square > EPS:
            basis.append(rest)
    far = [max(float(off(row, basis)[0]), EPS) for row in rows]
    return np.array([theta * float(r) + (1 - theta) * math.log(d2) for r, d2 in zip(rewards, far, strict=True)])


def scaled_lists(scale: float) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Of 8 items in 4 dimensions, with copies, multiples and sums among them."""
    draw = np.random.default_rng(7)
    lists = []
    for trial in range(6):
        rows = draw.standard_normal((8, 4)) if trial % 2 else draw.integers(-2, 3, (8, 4)).astype(float)
        rows[5], rows[6], rows[7] = rows[0], rows[1] + rows[2], 2 * rows[2]
        lists.append(((rows * scale).astype(np.float32), draw.random(8).astype(np.float32)))
    return lists


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6, 1e10, 1e15, 1e19, 1e30])
def test_dpp_never_picks_a_direction_twice(scale: float, backend: str) -> None:
    for rows, rewards in scaled_lists(scale):
        for window in (None, 2, 3):
            picks = dpp_picks(
                torch.from_numpy(rows), torch.from_numpy(rewards), torch.tensor([0, 8]), 8, 0.5, window, backend=backend
            )
            order = picks.picked[0].tolist()
            for t, choice in enumerate(order):
                held = order[:t] if window is None else order[max(0, t - window) : t]
                scores = dpp_scores(exact(rows), rewards, held, 0.5)
                assert picks.gain[0, t].item() == pytest.approx(scores[choice], rel=1e-5, abs=1e-4)
                scores[order[:t]] = -np.inf
                assert scores[choice] >= scores.max() - 1e-6, (window, t)


def mmr_order(rows: list[Vector], rewards: Vector, theta: Fraction, window: int | None) -> tuple[list[int], Vector]:
    """Greedy MMR in exact numbers, ties to the lower position, and the gains."""
    order: list[int] = []
    gains = []
    while len(order) < len(rows):
        held = order[:] if window is None else order[-window:]
        scores = {}
        for item in range(len(rows)):
            if item not in order:
                likeness = [product(rows[item], rows[other]) for other in held]
                scores[item] = theta * rewards[item] - (1 - theta) * max(likeness) if held else rewards[item]
        order.append(max(scores, key=lambda item: (scores[item], -item)))
        gains.append(scores[order[-1]] if held else theta * rewards[order[-1]])
    return order, gains


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scale", [2.0**-20, 1.0, 2.0**40, 2.0**63, 2.0**125])
def test_mmr_is_exact_at_any_scale(scale: float, backend: str) -> None:
    """Numbers of few bits: products, sums and scores are exact in float64, so ties are ties."""
    draw = np.random.default_rng(3)
    most = float(np.finfo(np.float32).max)
    for _ in range(12):
        rows = (draw.integers(-3, 4, (9, 5)) * scale).astype(np.float32)
        rows[draw.integers(0, 9, 4)] = rows[draw.integers(0, 9, 4)]
        rewards = (draw.integers(0, 4, 9) / 4).astype(np.float32)
        if scale >= 2.0**40:
            rewards[:] = 0.5  # beside such products any reward is lost in float64
        for window in (None, 1, 3):
            picks = mmr_picks(
                torch.from_numpy(rows),
                torch.from_numpy(rewards),
                torch.tensor([0, 9]),
                11,
                0.5,
                window,
                backend=backend,
            )
            order, gains = mmr_order(exact(rows), [Fraction(float(r)) for r in rewards], Fraction(1, 2), window)
            assert picks.picked[0].tolist() == [*order, -1, -1]
            expected = [min(max(float(gain), -most), most) for gain in gains]
            assert picks.gain[0, :9].tolist() == pytest.approx(expected, rel=1e-6)
            assert bool(picks.gain[0, :9].isfinite().all())
            assert bool(picks.gain[0, 9:].isneginf().all())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gain_beyond_float32_is_not_that_of_padding(backend: str) -> None:
    vectors = torch.full((4, 3), 3e38) * torch.tensor([1.0, 1.0, -1.0, 0.5])[:, None]
    picks = mmr_picks(vectors, torch.zeros(4), torch.tensor([0, 3, 4]), 4, backend=backend)
    most = torch.finfo(torch.float32).max
    assert picks.picked.tolist() == [[0, 2, 1, -1], [0, -1, -1, -1]]
    assert picks.gain.tolist() == [[0.0, most, -most, -math.inf], [0.0, -math.inf, -math.inf, -math.inf]]
    rewards = torch.full((4,), -3.4e38)
    for pick in (dpp_picks, mmr_picks):
        gain = pick(vectors, rewards, torch.tensor([0, 4]), 4, 1.0, backend=backend).gain
        assert bool(gain.isfinite().all())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pick", [dpp_picks, mmr_picks])
def test_copies_come_in_the_order_of_their_positions(pick: object, backend: str) -> None:
    draw = torch.Generator().manual_seed(11)
    sizes = [(n, d) for n in (3, 8, 17, 33) for d in (1, 3, 8, 17)]
    for n, dim in sizes:
        kinds = torch.randint(max(2, n // 3), (n,), generator=draw)
        vectors = torch.nn.functional.normalize(torch.randn(n, dim, generator=draw), dim=1)[kinds]
        rewards = torch.rand(n, generator=draw)[kinds]
        for window in (None, 2):
            order = pick(vectors, rewards, torch.tensor([0, n]), n, 0.5, window, backend=backend).picked[0]  # type: ignore[operator]
            for kind in kinds.unique().tolist():
                places = order[kinds[order] == kind]
                assert bool((places.diff() > 0).all()), (n, dim, window)
