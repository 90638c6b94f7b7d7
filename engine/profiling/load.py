"""The funnel under load: a fixed number of callers, each asking for one batch after another."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.kernels import spans
from headrace.serving import Engine


class Callers:
    """`count` threads that ask an engine for pages; a `with` block ends them."""

    def __init__(self, engine: Engine, count: int) -> None:
        self.count = count
        self._engine = engine
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="caller")
        self._gate = threading.Barrier(count)

    def __enter__(self) -> Callers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def run(self, batches: Sequence[NDArray[np.int64]]) -> float:
        """Seconds until all `batches` (user rows, a multiple of `count` of them) are answered, all callers at once."""
        start = time.perf_counter()
        shares = [batches[caller :: self.count] for caller in range(self.count)]
        try:
            answers = self._pool.map(self._ask, shares)
        except RuntimeError as error:
            # Those that did start wait for the others.
            self._gate.abort()
            raise OSError(
                f"concurrency: expected {self.count} threads, got fewer from this machine: {error}"
            ) from error
        for _ in answers:
            pass
        return time.perf_counter() - start

    def _ask(self, share: Sequence[NDArray[np.int64]]) -> None:
        # A quick caller must not take a second share while another thread has none.
        self._gate.wait()
        for rows in share:
            ids: Any = self._engine.users.external(rows)  # integers or strings, as the engine wants them
            with spans.span("batch", "recommend") as span:
                pages = self._engine.recommend(ids)
            if span is not None:
                span.items_in, span.items_out = len(rows) * self._engine.funnel.items, sum(len(p.items) for p in pages)


def user_batches(users: int, batch: int, count: int, seed: int) -> list[NDArray[np.int64]]:
    """`count` batches of user rows, drawn evenly, the same for the same seed."""
    return list(np.random.default_rng(seed).integers(0, users, (count, batch)))
