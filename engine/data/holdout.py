"""Which rows of a log are held out for a test: by user and order, or by chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headrace.data.dataset import InteractionLog

Mask = NDArray[np.bool_]


def last_positives(log: InteractionLog, positive: Mask, n: int) -> Mask:
    """bool [rows]: each user's last `n` positive rows, and all that the user did from the first of these on.

    A user keeps at least one positive row for training; one with fewer than 2 is left whole there. Nothing that a user
    did later than what is asked for stays in training. Raises ValueError for n below 1.
    """
    if n < 1:
        raise ValueError(f"n: expected at least 1, got {n}")
    return _from_held_out_on(log, positive, np.full(_users(log), n))


def last_share(log: InteractionLog, positive: Mask, share: float) -> Mask:
    """As `last_positives`, for the last `share` of each user's positive rows, rounded to whole rows (halves up)."""
    _check_share(share)
    counts = np.bincount(log.user[positive], minlength=_users(log))
    return _from_held_out_on(log, positive, np.floor(share * counts + 0.5).astype(np.int64))


def random_share(log: InteractionLog, share: float, seed: int) -> Mask:
    """bool [rows]: rows drawn without replacement, `share` of the log rounded to whole rows (halves up).

    The classic holdout. Training knows the future then: what is measured flatters.
    """
    _check_share(share)
    out = np.zeros(len(log), np.bool_)
    count = int(np.floor(share * len(log) + 0.5))
    out[np.random.default_rng(seed).permutation(len(log))[:count]] = True
    return out


def fold(log: InteractionLog, folds: int, number: int, seed: int) -> Mask:
    """bool [rows]: part `number`, from 0, of a random partition into `folds` parts of equal size or one less.

    Raises ValueError for fewer than 2 folds or a number that is none of them.
    """
    if folds < 2:
        raise ValueError(f"folds: expected at least 2, got {folds}")
    if not 0 <= number < folds:
        raise ValueError(f"fold: expected 0 to {folds - 1}, got {number}")
    place = np.empty(len(log), np.int64)
    place[np.random.default_rng(seed).permutation(len(log))] = np.arange(len(log))
    return np.asarray(place % folds == number)


def undrawn(log: InteractionLog, seed: int) -> Mask:
    """bool [rows]: the rows that as many draws with replacement leave out, about 36.8 % (Efron, 1979)."""
    out = np.ones(len(log), np.bool_)
    out[np.random.default_rng(seed).integers(0, max(len(log), 1), len(log))] = False
    return out


def _users(log: InteractionLog) -> int:
    return int(log.user.max(initial=-1)) + 1


def _from_held_out_on(log: InteractionLog, positive: Mask, held: NDArray[np.int64]) -> Mask:
    """Rows from the user's first held-out positive on; held [U]: how many of each user's last are held out."""
    users = len(held)
    # Rows are in time order, so a stable sort by user leaves each user's in order.
    rows = np.flatnonzero(positive)
    rows = rows[np.argsort(log.user[rows], kind="stable")]
    counts = np.bincount(log.user[rows], minlength=users)
    first = np.cumsum(counts) - counts
    held = np.minimum(held, counts - 1).clip(min=0)
    start = np.full(users, len(log))
    some = held > 0
    start[some] = rows[(first + counts - held)[some]]
    return np.asarray(np.arange(len(log)) >= start[log.user])


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise ValueError(f"share: expected more than 0 and less than 1, got {share:g}")
