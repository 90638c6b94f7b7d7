"""The nearest neighbours of every item, from a sparse product that is never held whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from headrace.channels.shared.history import first_rows

#: Entries of one block of the product: bounds memory at some 150 MB.
_BLOCK = 2_000_000

#: row, column: int [n]; strength: float64 [n], at least 0.
Entries = tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.float64]]


def nearest_rows(
    left: csr_array, right: csr_array, limit: int, strengths: Callable[[int, csr_array], Entries]
) -> tuple[Tensor, Tensor, Tensor]:
    """The `limit` strongest entries of each row of `left @ right`, strongest first, ties to the lower column.

    strengths: from the first row of a block and its product, [rows, N], to those of its entries that count, and how
    strong each is. Returns (offsets int64 [N+1], column int64, strength float64).
    """
    rows, columns, values = [], [], []
    for start, stop in _blocks(left, right):
        row, column, strength = strengths(start, left[start:stop] @ right)
        kept = _strongest(row - start, strength, stop - start, limit)
        order = np.flatnonzero(kept)[np.lexsort((column[kept], -strength[kept], row[kept]))]
        rows.append(row[order])
        columns.append(column[order])
        values.append(strength[order])
    offsets, first = first_rows(np.concatenate([np.zeros(0, np.int64), *rows]), left.shape[0], limit)
    column = np.concatenate([np.zeros(0, np.int32), *columns])[first].astype(np.int64)
    value = np.concatenate([np.zeros(0), *values])[first]
    return torch.from_numpy(offsets), torch.from_numpy(column), torch.from_numpy(value)


def ones(matrix: csr_array) -> csr_array:
    """The matrix with 1 in every entry that it has."""
    return csr_array((np.ones_like(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape)


def columns_of(matrix: csr_array, kept: NDArray[np.bool_]) -> csr_array:
    """The matrix with nothing in the other columns."""
    held = kept[matrix.indices]
    offsets = np.append(0, np.cumsum(held))[matrix.indptr]
    return csr_array((matrix.data[held], matrix.indices[held], offsets), shape=matrix.shape)


def _blocks(left: csr_array, right: csr_array) -> Iterator[tuple[int, int]]:
    """Runs of rows that hold about _BLOCK entries of the product together."""
    reached = np.minimum(ones(left) @ np.diff(right.indptr), right.shape[1])
    block = np.cumsum(reached) // _BLOCK
    edges = np.append(np.flatnonzero(np.diff(block, prepend=-1)), left.shape[0])
    return zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)


def _strongest(row: NDArray[np.integer], strength: NDArray[np.float64], rows: int, limit: int) -> NDArray[np.bool_]:
    """bool [nnz]: a superset of the `limit` strongest entries of each row, few more than that, in one integer sort."""
    # 30 bits of strength are enough to tell what can't belong; equal bits all stay, and the caller orders them exactly.
    share = strength / max(float(strength.max(initial=0.0)), np.finfo(np.float64).tiny)
    key = torch.from_numpy((row.astype(np.int64) << 31) | ((1 << 30) - (share * (1 << 30)).astype(np.int64)).clip(0))
    counts = np.bincount(row, minlength=rows)
    last = np.cumsum(counts) - np.maximum(counts - limit, 0) - 1
    worst = torch.sort(key).values.numpy()[last.clip(0)] if len(row) else last
    kept: NDArray[np.bool_] = key.numpy() <= worst[row]
    return kept
