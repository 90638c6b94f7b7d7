"""ScaNN: a tree and quantised products, which is not exact, and its search of every item, which nearly is."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from headrace.benchmarks.peers.tuning import Call, fastest

#: The share of the tree's leaves that a search visits, and the candidates that are scored again, in k.
VISITED, REORDERED = 0.25, 10


def search(queries: NDArray[np.float32], items: NDArray[np.float32], k: int, exact: bool) -> Call:
    """A call for ids [B, k]."""
    from scann import scann_ops_pybind

    builder = scann_ops_pybind.builder(items, k, "dot_product")
    if exact:
        index = builder.score_brute_force().build()
    else:
        leaves = max(1, round(math.sqrt(len(items))))
        builder = builder.tree(leaves, math.ceil(VISITED * leaves), training_sample_size=len(items))
        with _silent():
            index = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(REORDERED * k).build()
    calls = (lambda: index.search_batched(queries)[0], lambda: index.search_batched_parallel(queries)[0])
    return fastest(*calls)


@contextmanager
def _silent() -> Iterator[None]:
    """Without what native code writes to standard error while it builds."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
