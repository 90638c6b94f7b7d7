"""Rows held out by user and order, or by chance: against a loop over users, and by their definitions."""

import numpy as np
import pytest

from headrace.data import InteractionLog
from headrace.data.holdout import fold, last_positives, last_share, random_share, undrawn


def random_log(rows, users, seed=0):
    rng = np.random.default_rng(seed)
    time = np.sort(rng.integers(0, 50, rows))  # many at the same time
    user, item = rng.integers(0, users, rows), rng.integers(0, 9, rows)
    return InteractionLog(
        user.astype(np.int32), item.astype(np.int32), time, {"click": rng.integers(0, 2, rows).astype(np.int8)}
    )


def by_hand(log, positive, held):
    out = np.zeros(len(log), bool)
    for user in set(log.user.tolist()):
        rows = [row for row in range(len(log)) if log.user[row] == user]
        wanted = [row for row in rows if positive[row]]
        n = min(held(len(wanted)), len(wanted) - 1)
        if n > 0:
            out[[row for row in rows if row >= wanted[-n]]] = True
    return out.tolist()


@pytest.mark.parametrize("rows", [1, 2, 31, 400])
@pytest.mark.parametrize("n", [1, 2, 9])
def test_last_equals_a_loop_over_users(rows, n):
    log = random_log(rows, 17, rows)
    positive = log.signals["click"] == 1
    assert last_positives(log, positive, n).tolist() == by_hand(log, positive, lambda _: n)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
def test_last_share_equals_a_loop_over_users(share):
    log = random_log(400, 17)
    positive = log.signals["click"] == 1
    wanted = by_hand(log, positive, lambda count: int(np.floor(share * count + 0.5)))
    assert last_share(log, positive, share).tolist() == wanted


def test_a_user_keeps_a_positive_and_nothing_later_than_what_is_asked():
    user, click = np.array([0, 0, 0, 0, 1, 2, 2]), np.array([1, 1, 1, 0, 1, 0, 0])
    log = InteractionLog(user.astype(np.int32), user.astype(np.int32), np.arange(7), {"click": click.astype(np.int8)})
    # User 0's row without a click comes after the click that is held out; users 1 and 2 have nothing to spare.
    assert last_positives(log, click == 1, 1).tolist() == [False, False, True, True, False, False, False]
    assert last_positives(log, click == 1, 9).tolist() == [False, True, True, True, False, False, False]


def test_random_rows_are_of_the_seed_and_the_share():
    log = random_log(97, 5)
    drawn = random_share(log, 0.3, seed=1)
    assert drawn.sum() == 29
    assert np.array_equal(drawn, random_share(log, 0.3, seed=1))
    assert not np.array_equal(drawn, random_share(log, 0.3, seed=2))


def test_folds_are_a_partition():
    log = random_log(97, 5)
    parts = np.stack([fold(log, 10, number, seed=4) for number in range(10)])
    assert (parts.sum(0) == 1).all()
    assert sorted(parts.sum(1).tolist()) == [9, 9, 9] + [10] * 7


def test_draws_with_replacement_leave_over_a_third_out():
    left = undrawn(random_log(20_000, 5), seed=0)
    assert left.mean() == pytest.approx(np.exp(-1), abs=0.01)


def test_an_empty_log_has_nothing_to_hold_out():
    log = random_log(5, 2).take(slice(0, 0))
    none = np.zeros(0, bool)
    parts = last_positives(log, none, 1), last_share(log, none, 0.5), random_share(log, 0.5, 0), undrawn(log, 0)
    assert [len(part) for part in parts] == [0] * 4


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda log, p: last_positives(log, p, 0), "n: expected at least 1, got 0"),
        (lambda log, p: last_share(log, p, 1.0), "share: expected more than 0 and less than 1, got 1"),
        (lambda log, p: random_share(log, 0.0, 0), "share: expected more than 0 and less than 1, got 0"),
        (lambda log, p: fold(log, 1, 0, 0), "folds: expected at least 2, got 1"),
        (lambda log, p: fold(log, 3, 3, 0), "fold: expected 0 to 2, got 3"),
    ],
)
def test_errors_name_the_argument(call, words):
    log = random_log(5, 2)
    with pytest.raises(ValueError, match=words):
        call(log, log.signals["click"] == 1)
