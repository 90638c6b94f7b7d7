"""Which rows of a log are held out for a test: by user and order, or by chance; `Split` names every way there is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
from numpy.typing import NDArray

from headrace.data.dataset import InteractionLog
from headrace.data.positive import INTERESTED, Positive
from headrace.data.split import split_at, split_by_time

Mask = NDArray[np.bool_]

#: Way to split -> the options it takes.
WAYS = {
    "time": ("cut", "days", "share"),
    "last": ("n",),
    "share": ("share",),
    "leave-one-out": (),
    "random": ("share",),
    "fold": ("folds", "fold"),
    "bootstrap": (),
}
_SHARE, _FOLDS = 0.2, 10


@dataclass(frozen=True, kw_only=True)
class Split:
    """A way to part a log into training and test, one of `WAYS`.

    time: all rows from a moment on: `cut` (ms since the epoch), the last `days`, or the last `share` of the rows.
    last, share, leave-one-out: of each user the last `n`, the last `share`, or the last one of the rows that are
    `positive`, and what the user did after the first of these. random: a `share` of the rows. fold: part `fold` of
    `folds` random ones. bootstrap: the rows that as many draws with replacement leave out. `share` is 0.2 and `folds`
    10 where not given.
    """

    by: str
    cut: int | None = None
    days: float | None = None
    share: float | None = None
    n: int | None = None
    folds: int | None = None
    fold: int | None = None
    seed: int = 0
    positive: Positive = INTERESTED

    def __post_init__(self) -> None:
        if self.by not in WAYS:
            raise ValueError(f"by: expected one of {', '.join(WAYS)}, got {self.by!r}")
        takes = WAYS[self.by]
        given = [name for name in ("cut", "days", "share", "n", "folds", "fold") if getattr(self, name) is not None]
        for name in given:
            if name not in takes:
                ways = " or ".join(way for way, names in WAYS.items() if name in names)
                raise ValueError(f"{name}: expected it with by {ways}, got by {self.by}")
        if self.by == "time" and len(given) > 1:
            raise ValueError(f"by time: expected one of cut, days and share, got {' and '.join(given)}")
        if self.by == "last" and self.n is None:
            raise ValueError("n: expected how many to hold out of each user, got none")

    def apply(self, log: InteractionLog) -> tuple[InteractionLog, InteractionLog]:
        """(training, test), each in time order. Raises ValueError where either would be empty."""
        if self.by == "time":
            return self._by_time(log)
        test = self._held_out(log)
        if not test.any() or test.all():
            side = "training" if test.any() else "test"
            why = f"; {len(log)} rows, {int(self.positive.of(log).sum())} of them {self.positive}"
            raise ValueError(f"by {self.by}: the {side} side is empty{why}")
        return log.take(~test), log.take(test)

    def words(self) -> str:
        """The split in words."""
        share = f"{100 * (self.share or _SHARE):g} %"
        since = f"the last {share} of the rows" if self.days is None else f"the last {self.days:g} days"
        if self.cut is not None:
            since = f"the rows from {datetime.fromtimestamp(self.cut / 1000, timezone.utc):%Y-%m-%d %H:%M:%S} UTC on"
        return {
            "time": f"{since}, by time",
            "last": f"each user's last {self.n} of {self.positive}, and what came after",
            "share": f"each user's last {share} of {self.positive}, and what came after",
            "leave-one-out": f"each user's last one of {self.positive}, and what came after",
            "random": f"{share} of the rows, drawn by seed {self.seed}",
            "fold": f"part {self.fold or 0} of {self.folds or _FOLDS}, drawn by seed {self.seed}",
            "bootstrap": f"the rows that draws by seed {self.seed} left out",
        }[self.by]

    def _by_time(self, log: InteractionLog) -> tuple[InteractionLog, InteractionLog]:
        if self.cut is not None:
            return split_at(log, self.cut)
        if self.days is not None:
            return split_by_time(log, self.days)
        share = _SHARE if self.share is None else self.share
        _check_share(share)
        place = min(int(np.floor(len(log) * (1 - share))), len(log) - 1)
        return split_at(log, int(log.time[place]) if len(log) else 0)

    def _held_out(self, log: InteractionLog) -> Mask:
        share = _SHARE if self.share is None else self.share
        if self.by == "random":
            return random_share(log, share, self.seed)
        if self.by == "fold":
            return fold(log, _FOLDS if self.folds is None else self.folds, self.fold or 0, self.seed)
        if self.by == "bootstrap":
            return undrawn(log, self.seed)
        positive = self.positive.of(log)
        return (
            last_share(log, positive, share)
            if self.by == "share"
            else last_positives(log, positive, 1 if self.n is None else self.n)
        )


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
