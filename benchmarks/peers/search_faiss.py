"""FAISS Flat, the library most people use for exact search, as it comes and tuned."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.benchmarks.peers.tuning import Call, fastest_blas


def flat(
    queries: NDArray[np.float32],
    items: NDArray[np.float32],
    k: int,
    metric: str,
    allowed: NDArray[np.bool_] | None,
    tuned: bool,
) -> Call:
    """A call for ids int64 [B, k]. tuned: the batch from which BLAS computes scores, and the threads it gets there.

    The setting is global to FAISS, so each call makes its own. Lengths of queries do not matter to a cosine.
    """
    import faiss

    index = (faiss.IndexFlatL2 if metric == "l2" else faiss.IndexFlatIP)(items.shape[1])
    index.add(items / np.linalg.norm(items, axis=1, keepdims=True) if metric == "cosine" else items)
    chosen: dict[str, Any] = {}
    if allowed is not None:
        selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        chosen["params"] = faiss.SearchParameters(sel=selector)
    threshold = 20 if tuned else faiss.cvar.distance_compute_blas_threshold

    def call() -> Any:
        before = faiss.cvar.distance_compute_blas_threshold
        faiss.cvar.distance_compute_blas_threshold = threshold
        try:
            return index.search(queries, k, **chosen)[1]
        finally:
            faiss.cvar.distance_compute_blas_threshold = before

    return fastest_blas(call) if tuned else call
