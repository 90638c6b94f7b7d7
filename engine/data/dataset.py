"""The log and its tables in dense rows: what readers and the generator make, and everything after them reads."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from headrace.data.ids import IdMap
from headrace.data.signals import INTEREST

#: Value of a signal or of a code that one row does not have.
UNKNOWN = -1
#: Before the name of a column of kinds.
KIND = "kind_"

Ints = NDArray[np.integer]
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Jagged:
    """Ragged integer lists: row i owns values[offsets[i]:offsets[i+1]]. offsets int64 [n+1], values int32 [nnz]."""

    offsets: NDArray[np.int64]
    values: NDArray[np.int32]


@dataclass(frozen=True)
class InteractionLog:
    """Interactions in time order, one row each.

    user, item: int32 [n] dense rows. time: int64 [n], milliseconds since the epoch, ascending.
    signals: name (of `headrace.data.signals.SIGNALS`) -> int8 [n]: 1 yes, 0 no, -1 not recorded for that row. A signal
        the log never had is not a key.
    play_time_ms, duration_ms: int32 [n] or None; -1 not recorded for that row.
    context: name -> int32 [n], codes known when the request arrived (e.g. the tab shown); -1 not recorded.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    time: NDArray[np.int64]
    signals: dict[str, NDArray[np.int8]]
    play_time_ms: NDArray[np.int32] | None = None
    duration_ms: NDArray[np.int32] | None = None
    context: dict[str, NDArray[np.int32]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.user)

    def take(self, index: Ints | NDArray[np.bool_] | slice) -> InteractionLog:
        """The rows at `index` (a slice, mask or sorted positions), still in time order."""
        return InteractionLog(
            self.user[index],
            self.item[index],
            self.time[index],
            {name: column[index] for name, column in self.signals.items()},
            None if self.play_time_ms is None else self.play_time_ms[index],
            None if self.duration_ms is None else self.duration_ms[index],
            {name: column[index] for name, column in self.context.items()},
        )

    def gave(self, name: str) -> bool:
        """Whether any row says yes to the signal `name`."""
        return name in self.signals and bool((self.signals[name] == 1).any())

    def interest(self) -> NDArray[np.int32]:
        """int32 [n]: the interest label, one point for each of click, like, collect, share, follow, comment."""
        points = np.zeros(len(self), np.int32)
        for name in INTEREST:
            if name in self.signals:
                points += self.signals[name] == 1
        return points


@dataclass(frozen=True)
class Catalogue:
    """What is known of each item, by dense row; None where the source does not say.

    ids: external id <-> row. author, city: int32 [n] codes, -1 unknown. category, keyword: Jagged codes, most specific
    first. publish_time: int64 [n] ms since the epoch (negative before 1970), -1 unknown. duration_ms: int32 [n], -1
    unknown. vector: float32 [n, d] content vectors. marked: bool [n], items promoted by operations. latitude,
    longitude: float64 [n], degrees, NaN unknown. kinds: name -> int32 [n] codes, -1 unknown: what else page rules,
    slots and boosts may look at, such as a format. title: a text for each item, "" for none. names: column
    (`KIND` and the name for one of kinds) -> text of each code.
    """

    ids: IdMap
    author: NDArray[np.int32] | None = None
    category: Jagged | None = None
    keyword: Jagged | None = None
    city: NDArray[np.int32] | None = None
    publish_time: NDArray[np.int64] | None = None
    duration_ms: NDArray[np.int32] | None = None
    vector: NDArray[np.float32] | None = None
    marked: NDArray[np.bool_] | None = None
    latitude: NDArray[np.float64] | None = None
    longitude: NDArray[np.float64] | None = None
    kinds: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    title: list[str] | None = None
    names: dict[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def first_category(self) -> NDArray[np.int32]:
        """int32 [n]: each item's first category, -1 where it has none."""
        out = np.full(len(self), UNKNOWN, np.int32)
        if self.category is not None and len(self.category.values):
            has = np.diff(self.category.offsets) > 0
            out[has] = self.category.values[self.category.offsets[:-1][has]]
        return out


@dataclass(frozen=True)
class Users:
    """The users by dense row, with categorical features (name -> int32 [n] codes, -1 unknown; names: feature -> text
    of each code)."""

    ids: IdMap
    features: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class RowReport:
    """What reading did with the rows: how many came, were kept, and were dropped, by reason.

    unit: of the times as they came. late: kept rows of a time before that of a row above them; they are sorted in.
    """

    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    unit: str = "milliseconds"
    late: int = 0


@dataclass(frozen=True)
class Dataset:
    """A log with its users and catalogue. `history` holds older interactions known only in order, if the source has
    them: behaviour for recall and for features, never labelled samples of ranking. `context_names`: context column ->
    text of each code, where the codes stand for text. `notes`: what reading did beside what `rows` counts."""

    name: str
    users: Users
    catalogue: Catalogue
    log: InteractionLog
    history: InteractionLog | None = None
    rows: RowReport = field(default_factory=RowReport)
    context_names: dict[str, list[str]] = field(default_factory=dict)
    history_rows: RowReport | None = None
    notes: tuple[str, ...] = ()

    def with_log(self, log: InteractionLog) -> Dataset:
        return replace(self, log=log)
