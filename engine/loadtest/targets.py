"""What a load is put on: something that answers the requests of some users, and the users who ask."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headrace.serving import Engine


class Session(Protocol):
    """One worker's way to a target: calls come one after another."""

    def send(self, users: NDArray[Any]) -> None:
        """Asks for the pages of `users` and returns when they are there. Raises when they are not."""
        ...

    def close(self) -> None: ...


class Target(Protocol):
    """name: what it is, for the first sentence of the report. in_process: whether its work is this process's.
    batches: whether one call may ask for several users."""

    name: str
    in_process: bool
    batches: bool

    def connect(self) -> Session: ...


class EngineTarget:
    """An engine in this process. shown: items a page; the setting page.shown where not given."""

    in_process = True
    batches = True

    def __init__(self, engine: Engine, shown: int | None = None) -> None:
        self.engine = engine
        self.shown = engine.settings.page.shown if shown is None else shown
        self.name = f"{len(engine.items):,} items, {self.shown} shown"

    def connect(self) -> EngineTarget:
        """The engine itself: it is safe to call from many threads."""
        return self

    def send(self, users: NDArray[Any]) -> None:
        pages = self.engine.recommend(users, self.shown)
        if len(pages) != len(users):
            raise RuntimeError(f"expected {len(users)} pages, got {len(pages)}")

    def close(self) -> None:
        pass


class Users:
    """Who asks: the ids in a shuffled order, over and over; the same for the same seed.

    ids: int64 [n] or str [n]. Raises ValueError when there are none.
    """

    def __init__(self, ids: NDArray[Any], seed: int = 0) -> None:
        if len(ids) == 0:
            raise ValueError("users: expected at least 1 user id, got 0")
        self._ids = np.random.default_rng(seed).permutation(ids)

    def __len__(self) -> int:
        return len(self._ids)

    def of(self, first: int, count: int) -> NDArray[Any]:
        """The users of requests first, ..., first + count - 1."""
        return self._ids[np.arange(first, first + count) % len(self._ids)]
