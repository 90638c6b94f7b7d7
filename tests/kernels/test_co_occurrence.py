"""The nearest items of every item: both ops against brute forces over pairs of items and of users."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from headrace.kernels import co_occurrence, swing

BACKENDS = ("reference", "native")
Rows = list[list[tuple[int, float]]]


def draw(users: int, items: int, rate: float, weights: str = "ones", seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    there = rng.random((users, items)) < rate
    user, item = np.nonzero(there)
    # A user's items in no order of their own.
    order = np.lexsort((rng.random(len(user)), user))
    counts = np.bincount(user, minlength=users) if users else np.zeros(0, np.int64)
    given = {"offsets": torch.from_numpy(np.append(0, np.cumsum(counts))), "item": torch.from_numpy(item[order])}
    made = {
        "ones": None,
        "whole": rng.integers(1, 6, len(item)).astype(np.float64),
        "large": rng.integers(1, 2000, len(item)).astype(np.float64),
        "real": rng.random(len(item)) + 0.1,
        "signed": rng.integers(-2, 3, len(item)) / 2.0,
    }[weights]
    return {**given, "items": items, "weight": None if made is None else torch.from_numpy(made)}


def dense(given: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """float64 [U, N]: weights, and bool: where there are any."""
    offsets, item = given["offsets"].numpy(), given["item"].numpy()
    user = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    weight, there = (np.zeros((len(offsets) - 1, given["items"])) for _ in range(2))
    weight[user, item] = 1.0 if given["weight"] is None else given["weight"].numpy()
    there[user, item] = 1
    return weight, there


def best(keys: np.ndarray, k: int) -> list[list[int]]:
    rows = []
    for i, row in enumerate(keys):
        wanted = [j for j in range(len(row)) if j != i and row[j] > 0]
        rows.append(sorted(wanted, key=lambda j: (-row[j], j))[:k])
    return rows


def rows_of(found: tuple[Tensor, Tensor, Tensor]) -> Rows:
    offsets, item, score = (one.tolist() for one in found)
    pairs = list(zip(item, score, strict=True))
    return [pairs[a:b] for a, b in pairwise(offsets)]


def to_40_bits(x: np.ndarray) -> np.ndarray:
    mantissa, power = np.frexp(x)
    return np.ldexp(np.round(mantissa * 2**40), power - 40)


def scores(given: dict[str, Any], formula: str, shrink: float, row: Any, column: Any) -> tuple[np.ndarray, np.ndarray]:
    """What pairs are ordered by, and their scores; sums user by user."""
    weight, _ = dense(given)
    dot = np.zeros((given["items"],) * 2)
    for mine in weight:
        dot += np.outer(mine, mine)
    norm = np.diagonal(dot)
    with np.errstate(divide="ignore", invalid="ignore"):
        if formula == "product":
            score = dot * (1.0 if row is None else row[:, None]) * (1.0 if column is None else column[None, :])
            return to_40_bits(score), score
        score = dot / (np.sqrt(np.outer(norm, norm)) + shrink)
        exact = not shrink and (weight == np.floor(weight)).all()
        key = np.maximum(dot, 0) ** 2 / np.outer(norm, norm)
        return (key if exact else to_40_bits(score if shrink else key)), score


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("weights", ["ones", "whole", "large", "real", "signed"])
@pytest.mark.parametrize(
    ("users", "items", "rate"),
    [(1, 1, 1.0), (7, 15, 0.5), (33, 17, 0.9), (65, 97, 0.1), (40, 300, 0.08), (90, 400, 0.006)],
)
def test_neighbours_are_those_of_a_brute_force(backend: str, weights: str, users: int, items: int, rate: float) -> None:
    given = draw(users, items, rate, weights)
    rng = np.random.default_rng(1)
    row, column = rng.random(items), rng.random(items)
    _, there = dense(given)
    common = there.T @ there
    for formula, shrink, factors in (
        ("cosine", 0.0, {}),
        ("cosine", 2.5, {}),
        ("product", 0.0, {"row": row, "column": column}),
    ):
        key, score = scores(given, formula, shrink, factors.get("row"), factors.get("column"))
        for k, min_common in ((5, 1), (1000, 2)):
            found = rows_of(
                co_occurrence(
                    **given, k=k, formula=formula, shrink=shrink, min_common=min_common, backend=backend,
                    **{name: torch.from_numpy(one) for name, one in factors.items()},
                )
            )  # fmt: skip
            expected = best(np.where(common >= min_common, key, 0), k)
            assert [[j for j, _ in mine] for mine in found] == expected
            for i, mine in enumerate(found):
                np.testing.assert_allclose([s for _, s in mine], score[i, expected[i]], rtol=2.0**-23)


@pytest.mark.parametrize("weights", ["ones", "whole", "large", "real", "signed"])
def test_threads_change_nothing(weights: str) -> None:
    given = draw(500, 300, 0.2, weights, seed=3)
    for formula in ("cosine", "product"):
        one = co_occurrence(**given, k=20, formula=formula, threads=1)
        for threads in (2, 3, 16):
            many = co_occurrence(**given, k=20, formula=formula, threads=threads)
            assert all(torch.equal(a, b) for a, b in zip(one, many, strict=True))
    likes = {name: given[name] for name in ("offsets", "item", "items")}
    one = swing(**likes, k=20, threads=1)
    assert all(torch.equal(a, b) for a, b in zip(one, swing(**likes, k=20, threads=5), strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_equal_cosines_of_different_norms_tie_to_the_lower_item(backend: str) -> None:
    # Item 0 has norm^2 3; dot 1, 2 and 3 over norm^2 12, 48 and 108: each cosine is exactly 1/6.
    likes = np.zeros((102, 4))
    likes[:3, 0] = 1
    for item, (dot, norm) in enumerate([(3, 108), (1, 12), (2, 48)], 1):
        likes[0, item] = dot
        likes[3 : 3 + norm - dot * dot, item] = 1
    user, item = np.nonzero(likes)
    offsets = torch.from_numpy(np.append(0, np.cumsum(np.bincount(user, minlength=102))))
    kept, nearest, score = co_occurrence(
        offsets, torch.from_numpy(item), 2, items=4, weight=torch.from_numpy(likes[user, item]), backend=backend
    )
    assert nearest[: kept[1]].tolist() == [1, 2]
    assert score[: kept[1]].tolist() == [pytest.approx(1 / 6)] * 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_sums_that_differ_by_their_order_alone_tie(backend: str) -> None:
    # Items 1 and 2 have the same three parts in another order, whose float64 sums differ.
    parts = [0.1, 0.2, 0.3]
    offsets, item, weight = [0], [], []
    for a, b in zip(parts, reversed(parts), strict=True):
        item += [0, 2, 1]
        weight += [1.0, a, b]
        offsets.append(len(item))
    assert (0.1 + 0.2) + 0.3 != (0.3 + 0.2) + 0.1
    _, nearest, _ = co_occurrence(offsets, item, 2, items=3, weight=weight, formula="product", backend=backend)
    assert nearest[:2].tolist() == [1, 2]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("users", "items", "rate"), [(1, 9, 1.0), (9, 17, 0.6), (33, 15, 0.3), (60, 200, 0.05)])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 7.0])
def test_swing_is_that_of_a_brute_force(backend: str, users: int, items: int, rate: float, alpha: float) -> None:
    given = draw(users, items, rate, seed=2)
    _, there = dense(given)
    liked = [set(np.flatnonzero(mine)) for mine in there]
    total: dict[tuple[int, int], Fraction] = defaultdict(Fraction)
    for u, v in permutations(range(users), 2):
        shared = liked[u] & liked[v]
        for i, j in permutations(shared, 2):
            total[i, j] += 1 / (Fraction(alpha) + len(shared))
    for k in (1, 4, 1000):
        found = rows_of(swing(given["offsets"], given["item"], k, items=items, alpha=alpha, backend=backend))
        for i, mine in enumerate(found):
            expected = sorted((j for j in range(items) if total[i, j]), key=lambda j: (-total[i, j], j))[:k]
            assert [j for j, _ in mine] == expected
            exact = [float(total[i, j]) for j in expected]
            # 40 bits of the sum are kept, and 24 in float32.
            np.testing.assert_allclose([s for _, s in mine], exact, rtol=2**-24 + 2**-39)


def masks(items: int) -> list[Tensor]:
    """Every third kept, none, and all; the last in memory that runs on in steps."""
    return [torch.arange(items) % 3 == 1, torch.zeros(items, dtype=torch.bool), torch.ones(2 * items).bool()[::2]]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("weights", ["ones", "whole", "large", "real", "signed"])
@pytest.mark.parametrize(("users", "items", "rate"), [(1, 1, 1.0), (7, 15, 0.5), (65, 97, 0.1), (90, 400, 0.006)])
def test_lists_are_filled_from_what_is_kept(backend: str, weights: str, users: int, items: int, rate: float) -> None:
    given = draw(users, items, rate, weights, seed=5)
    column = torch.from_numpy(np.random.default_rng(1).random(items))
    _, there = dense(given)
    common = there.T @ there
    for formula, shrink, factor in (("cosine", 0.0, None), ("cosine", 2.5, None), ("product", 0.0, column)):
        key, _ = scores(given, formula, shrink, None, None if factor is None else factor.numpy())
        for kept in masks(items):
            for k, min_common in ((2, 1), (1000, 2)):
                how = {"k": k, "formula": formula, "shrink": shrink, "column": factor, "min_common": min_common}
                found = rows_of(co_occurrence(**given, **how, kept=kept, backend=backend))
                expected = best(np.where((common >= min_common) & kept.numpy(), key, 0), k)
                assert [[j for j, _ in mine] for mine in found] == expected
                # Scores are those that the pair has in the lists of all.
                all_ = [dict(mine) for mine in rows_of(co_occurrence(**given, **{**how, "k": items}, backend=backend))]
                assert all(all_[i][j] == score for i, mine in enumerate(found) for j, score in mine)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("users", "items", "rate"), [(1, 9, 1.0), (9, 17, 0.6), (60, 200, 0.05)])
def test_swing_fills_lists_from_what_is_kept(backend: str, users: int, items: int, rate: float) -> None:
    given = draw(users, items, rate, seed=6)
    likes = {name: given[name] for name in ("offsets", "item", "items")}
    whole = rows_of(swing(**likes, k=items, backend=backend))
    for kept in masks(items):
        for k in (1, 4, 1000):
            found = rows_of(swing(**likes, k=k, kept=kept, backend=backend))
            assert found == [[(j, score) for j, score in mine if kept[j]][:k] for mine in whole]


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_item_that_is_not_kept_has_a_list_and_counts_for_others(backend: str) -> None:
    # One user of each pair (0, 1), (0, 2), (1, 2), and one more of item 0, which counts in its norm.
    likes = {"offsets": [0, 2, 4, 6, 7], "item": [0, 1, 0, 2, 1, 2, 0], "items": 3, "kept": [False, True, True]}
    found = rows_of(co_occurrence(**likes, k=2, backend=backend))
    half, sixth = 0.5, pytest.approx(6**-0.5)
    assert found == [[(1, sixth), (2, sixth)], [(2, half)], [(1, half)]]
    # Both like three items, though one of them is in no list.
    pair = {"offsets": [0, 3, 6], "item": [0, 1, 2, 0, 1, 2], "items": 3, "kept": [False, True, True]}
    assert rows_of(swing(**pair, k=2, backend=backend)) == [[(1, 0.5), (2, 0.5)], [(2, 0.5)], [(1, 0.5)]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_liked_one_user_and_everything_liked(backend: str) -> None:
    nothing = co_occurrence([0, 0, 0], torch.zeros(0, dtype=torch.int64), 3, items=4, backend=backend)
    assert [one.tolist() for one in nothing] == [[0] * 5, [], []]
    assert swing([0], torch.zeros(0, dtype=torch.int64), 3, items=0, backend=backend)[0].tolist() == [0]
    alone = co_occurrence([0, 3], [2, 0, 1], 2, items=4, backend=backend)
    assert rows_of(alone) == [[(1, 1.0), (2, 1.0)], [(0, 1.0), (2, 1.0)], [(0, 1.0), (1, 1.0)], []]
    assert rows_of(swing([0, 3], [2, 0, 1], 2, items=4, backend=backend)) == [[], [], [], []]
    # Item 0 is liked by all and user 2 likes all.
    found = rows_of(co_occurrence([0, 1, 2, 5], [0, 0, 0, 1, 2], 9, items=3, backend=backend))
    assert found[1] == [(2, 1.0), (0, pytest.approx(3**-0.5))]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"item": [0, 1, 1, 0, 5]}, "item: expected 0 to 3, got 5"),
        ({"item": [0, 1, -1, 0, 2]}, "item: expected 0 to 3, got -1"),
        ({"item": [0, 1, 3, 2, 2]}, "item: expected each once in a user, got 2 twice in user 1"),
        ({"offsets": [0, 3, 4]}, "offsets: expected to r"),
        ({"weight": [1.0, 2.0, np.nan, 1.0, 1.0]}, "weight: expected 0 or finite numbers"),
        ({"weight": [1.0, 2.0, 1e-70, 1.0, 1.0]}, "weight: expected 0 or finite numbers"),
        ({"weight": [1.0, 2.0, 1e10, 1.0, 1.0]}, "weight: expected squares that add up to at most 1e18"),
        ({"weight": [1.0]}, "weight: expected 5 entries, one for each item, got 1"),
        ({"row": [1.0] * 4}, "row: expected None with formula 'cosine'"),
        ({"formula": "product", "row": [1.0]}, "row: expected 4 entries, one for each item, got 1"),
        ({"formula": "product", "column": [1.0, 1.0, -1.0, 1.0]}, "column: expected numbers from 0 to 1e9"),
        ({"formula": "jaccard"}, "formula: expected cosine or product, got 'jaccard'"),
        ({"formula": "product", "shrink": 1.0}, "shrink: expected 0 with formula 'product', got 1.0"),
        ({"shrink": -1.0}, "shrink: expected 0 to 1e18, got -1.0"),
        ({"kept": [True] * 3}, "kept: expected 4 entries, one for each item, got 3"),
        ({"kept": [[True] * 4]}, r"kept: expected 1 dimensions, got shape \(1, 4\)"),
        ({"k": 0}, "k: expected at least 1, got 0"),
        ({"min_common": 0}, "min_common: expected at least 1, got 0"),
        ({"items": -1}, "items: expected at least 0, got -1"),
    ],
)
def test_errors_name_what_came(backend: str, changed: dict[str, Any], message: str) -> None:
    given = {"offsets": [0, 3, 5], "item": [0, 1, 3, 0, 2], "items": 4, "k": 2, **changed}
    with pytest.raises(ValueError, match=message):
        co_occurrence(**given, backend=backend)


def test_kept_is_a_flag_for_each_item() -> None:
    for kept in ([1, 1], np.ones(2), torch.ones(2, dtype=torch.uint8)):
        with pytest.raises(TypeError, match="kept: expected bool, got"):
            swing([0, 2], [0, 1], 1, items=2, kept=kept)
    with pytest.raises(ValueError, match="kept: expected 2 entries, one for each item, got 3"):
        swing([0, 2], [0, 1], 1, items=2, kept=[True] * 3)
    assert swing([0], [], 1, items=0, kept=[])[0].tolist() == [0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("length", [3, 5])
def test_the_registered_ops_want_one_entry_an_item(backend: str, length: int) -> None:
    likes = torch.tensor([0, 3]), torch.tensor([2, 0, 1])
    kept, factor = torch.ones(length).bool(), torch.ones(length).double()
    for name, row, column, flags in (
        ("row", factor, None, None),
        ("column", None, factor, None),
        ("kept", None, None, kept),
    ):
        with pytest.raises(ValueError, match=rf"{name}: expected shape \[4\], got \[{length}\]"):
            torch.ops.headrace.co_occurrence(*likes, None, row, column, flags, 4, False, 0.0, 1, 2, backend, 1)
    with pytest.raises(ValueError, match=rf"kept: expected shape \[4\], got \[{length}\]"):
        torch.ops.headrace.swing(*likes, kept, 4, 1.0, 2, backend, 1)


def test_swing_needs_an_alpha_above_0() -> None:
    with pytest.raises(ValueError, match="alpha: expected more than 0 and at most 1e18, got 0"):
        swing([0, 1], [0], 1, items=1, alpha=0.0)


def test_there_is_no_gpu_backend_and_the_reason_is_said() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)backend 'gpu' cannot serve.*gpu: a row's sums lie in a core's cache"):
        co_occurrence([0, 1], [0], 1, items=1, backend="gpu")


@pytest.mark.parametrize("weights", ["ones", "real"])
def test_torch_can_trace_both(weights: str) -> None:
    given = draw(9, 17, 0.3, weights)
    likes = given["offsets"], given["item"]
    for backend in BACKENDS:
        for kept in (None, torch.arange(17) > 8):
            inputs = (*likes, given["weight"], None, None, kept, 17, True, 0.0, 1, 3, backend, 1)
            torch.library.opcheck(torch.ops.headrace.co_occurrence.default, inputs)
            torch.library.opcheck(torch.ops.headrace.swing.default, (*likes, kept, 17, 1.0, 3, backend, 1))
