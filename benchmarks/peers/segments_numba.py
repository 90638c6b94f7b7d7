"""Loops over ragged lists, compiled by numba: the best of each list, and how close candidates are to recent items."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


def _topk(offsets: Ints, score: Floats, kept: Ints) -> Ints:
    """Lists in parallel, each sorted by falling score; kept are the offsets of the answer."""
    out = np.empty(kept[-1], np.int64)
    for b in numba.prange(len(offsets) - 1):
        first = offsets[b]
        order = np.argsort(-score[first : offsets[b + 1]])
        for place in range(kept[b + 1] - kept[b]):
            out[kept[b] + place] = first + order[place]
    return out


def _closeness(content: Floats, recent: NDArray[np.int32], owner: Ints, item: Ints) -> Floats:
    """Candidates in parallel; mean and greatest product with what their request has."""
    out = np.zeros((len(item), 2), np.float32)
    for i in numba.prange(len(item)):
        own = content[item[i]]
        total, most, present = np.float32(0), np.float32(-np.inf), 0
        for other in recent[owner[i]]:
            if other >= 0:
                product = np.float32(0)
                for column in range(len(own)):
                    product += own[column] * content[other, column]
                total += product
                most = max(most, product)
                present += 1
        if present:
            out[i, 0], out[i, 1] = total / np.float32(present), most
    return out


topk = numba.njit(parallel=True, cache=True)(_topk)
# Fast but for infinities, which `most` begins with.
closeness = numba.njit(parallel=True, cache=True, fastmath={"reassoc", "contract", "nsz", "arcp"})(_closeness)
