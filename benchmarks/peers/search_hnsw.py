"""hnswlib: what many people use instead of an exact search. It is not exact; the answer says how far."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.benchmarks.peers.tuning import Call
from headrace.kernels import settings

#: The usual settings for a good graph, and a search wide enough for most of the true neighbours.
LINKS, BUILD_WIDTH, SEARCH_WIDTH = 16, 200, 4


def build(items: NDArray[np.float32]) -> Any:
    """The graph; takes seconds for each 100,000 items."""
    import hnswlib

    index = hnswlib.Index("ip", items.shape[1])
    index.init_index(len(items), M=LINKS, ef_construction=BUILD_WIDTH, random_seed=0)
    index.add_items(items, num_threads=settings.get_threads())
    return index


def search(index: Any, queries: NDArray[np.float32], k: int) -> Call:
    """A call for ids [B, k], with a search SEARCH_WIDTH times as wide as k."""
    index.set_ef(SEARCH_WIDTH * k)
    threads = settings.get_threads()
    return lambda: index.knn_query(queries, k, num_threads=threads)[0]
