"""USearch's exact search: SimSIMD kernels over every item."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headrace.benchmarks.peers.tuning import Call
from headrace.kernels import settings


def exact(queries: NDArray[np.float32], items: NDArray[np.float32], k: int) -> Call:
    """A call for ids [B, k]."""
    from usearch.index import MetricKind
    from usearch.index import search as usearch_search

    threads = settings.get_threads()

    def call() -> NDArray[np.uint64]:
        found = usearch_search(items, queries, k, MetricKind.IP, exact=True, threads=threads)
        ids: NDArray[np.uint64] = found.keys.reshape(len(queries), k)
        return ids

    return call
