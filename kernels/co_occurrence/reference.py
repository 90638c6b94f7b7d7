"""The definitions, by SciPy's sparse products: blocks of them, whole, and a sort of each row."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack
from torch import Tensor

#: Entries of a block of the product: bounds memory at some 150 MB.
_BLOCK = 2_000_000
#: From the rows, columns and values of a block's entries to those that count, and their keys.
Keys = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]], NDArray[np.float64]]


def co_occurrence(
    offsets: Tensor,
    item: Tensor,
    weight: Tensor | None,
    row: Tensor | None,
    column: Tensor | None,
    kept: Tensor | None,
    items: int,
    cosine: bool,
    shrink: float,
    min_common: int,
    k: int,
    threads: int,
) -> tuple[Tensor, Tensor, Tensor]:
    likes = _likes(offsets, item, weight, items)
    data = likes.data
    norm = np.bincount(likes.indices, data * data, minlength=items)
    if len(data) and not (np.isfinite(data).all() and (np.abs(data[data != 0]) >= 1e-60).all()):
        raise ValueError("weight: expected 0 or finite numbers from 1e-60 up")
    if norm.max(initial=0) > 1e18:
        raise ValueError("weight: expected squares that add up to at most 1e18 in an item, got more")
    left, right = (_factor(name, one, items) for name, one in (("row", row), ("column", column)))
    exact = cosine and shrink == 0 and bool((data == np.floor(data)).all())

    def keys(i: NDArray[np.int64], j: NDArray[np.int64], dot: NDArray[np.float64]) -> NDArray[np.float64]:
        if not cosine:
            return _rounded(dot * left[i] * right[j])
        if shrink:
            return _rounded(dot / (np.sqrt(norm[i] * norm[j]) + shrink))
        above = np.maximum(dot, 0)
        with np.errstate(invalid="ignore"):
            square = above * above / (norm[i] * norm[j])
        return square if exact else _rounded(square)

    bounds, nearest, key = _nearest(likes.T.tocsr(), likes, k, keys, min_common, kept)
    return bounds, nearest, (key.sqrt() if cosine and not shrink else key).float()


def swing(
    offsets: Tensor, item: Tensor, kept: Tensor | None, items: int, alpha: float, k: int, threads: int
) -> tuple[Tensor, Tensor, Tensor]:
    # A pair of users is a row of the items that both like; the scores are the product of these rows with themselves.
    likes = _likes(offsets, item, None, items)
    shared = vstack([csr_array((0, items)), *_pairs(likes)], format="csr")
    weight = 1 / (alpha + np.diff(shared.indptr))
    weighted = csr_array((np.repeat(weight, np.diff(shared.indptr)), shared.indices, shared.indptr), shape=shared.shape)
    bounds, nearest, key = _nearest(shared.T.tocsr(), weighted, k, lambda i, j, total: _rounded(total), 1, kept)
    # Each pair stands for both of its orders.
    return bounds, nearest, (2 * key).float()


def _likes(offsets: Tensor, item: Tensor, weight: Tensor | None, items: int) -> csr_array:
    """float64 users x items, in the order of the entries. Raises ValueError where they are no likes."""
    bounds, index = offsets.numpy(), item.numpy()
    if bounds[0] != 0 or bounds[-1] != len(index) or (np.diff(bounds) < 0).any():
        raise ValueError(f"offsets: expected to rise from 0 to {len(index)}, got {bounds[0]} to {bounds[-1]}")
    outside = (index < 0) | (index >= items)
    if outside.any():
        raise ValueError(f"item: expected 0 to {items - 1}, got {index[outside][0]}")
    user = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    order = np.lexsort((index, user))
    twice = (np.diff(user[order]) == 0) & (np.diff(index[order]) == 0)
    if twice.any():
        at = order[1:][twice][0]
        raise ValueError(f"item: expected each once in a user, got {index[at]} twice in user {user[at]}")
    data = np.ones(len(index)) if weight is None else weight.numpy()
    return csr_array((data, index, bounds), shape=(len(bounds) - 1, items))


def _factor(name: str, of: Tensor | None, items: int) -> NDArray[np.float64]:
    _check_size(name, of, items)
    factor = np.ones(items) if of is None else of.numpy()
    if not ((factor >= 0) & (factor <= 1e9)).all():
        raise ValueError(f"{name}: expected numbers from 0 to 1e9")
    return factor


def _check_size(name: str, of: Tensor | None, items: int) -> None:
    if of is not None and len(of) != items:
        raise ValueError(f"{name}: expected shape [{items}], got [{len(of)}]")


def _rounded(keys: NDArray[np.float64]) -> NDArray[np.float64]:
    """To 40 of the 53 bits of the mantissa, to the nearest, ties to even; keys at or below 0 may be anything there."""
    bits = keys.view(np.int64)
    return ((bits + ((1 << 12) - 1) + (bits >> 13 & 1)) >> 13 << 13).view(np.float64)


def _nearest(
    left: csr_array, right: csr_array, k: int, keys: Keys, min_common: int, kept: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The k highest keys of each row of `left @ right` above 0, without the diagonal and the columns that are not kept;
    ties to the lower column."""
    _check_size("kept", kept, right.shape[1])
    rows, columns, values = [], [], []
    for start, stop in _blocks(_ones(left) @ np.diff(right.indptr), right.shape[1]):
        product = left[start:stop] @ right
        row = np.repeat(np.arange(start, stop), np.diff(product.indptr))
        wanted = product.indices != row
        if kept is not None:
            wanted &= kept.numpy()[product.indices]
        if min_common > 1:
            # Which has the entries of the product, and those whose sum is 0 besides.
            common = (_ones(left[start:stop]) @ _ones(right)).tocoo()
            place = np.int64(right.shape[1]) * (common.row + start) + common.col
            shared = np.sort(place[common.data >= min_common])
            wanted &= np.isin(np.int64(right.shape[1]) * row + product.indices, shared)
        row, column, key = row[wanted], product.indices[wanted].astype(np.int64), product.data[wanted]
        key = keys(row, column, key)
        order = np.lexsort((column, -key, row))
        order = order[key[order] > 0]
        place = np.arange(len(order)) - np.searchsorted(row[order], row[order])
        order = order[place < k]
        rows.append(row[order])
        columns.append(column[order])
        values.append(key[order])
    row = np.concatenate([np.zeros(0, np.int64), *rows])
    bounds = np.append(0, np.cumsum(np.bincount(row, minlength=left.shape[0])))
    column = np.concatenate([np.zeros(0, np.int64), *columns])
    value = np.concatenate([np.zeros(0), *values])
    return torch.from_numpy(bounds), torch.from_numpy(column), torch.from_numpy(value)


def _ones(matrix: csr_array) -> csr_array:
    """The matrix with 1 in every entry that it has."""
    return csr_array((np.ones_like(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape)


def _blocks(reached: NDArray[np.float64], most: int) -> Iterator[tuple[int, int]]:
    """Runs of rows that hold about _BLOCK entries together. reached: [rows], at most so many each."""
    block = np.cumsum(np.minimum(reached, most)) // _BLOCK
    edges = np.append(np.flatnonzero(np.diff(block, prepend=-1)), len(reached))
    return zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)


def _pairs(likes: csr_array) -> Iterator[csr_array]:
    """ones, pairs x items, block by block: what each pair of users that shares two items or more shares."""
    by_item = likes.T.tocsr()
    met = likes @ np.diff(by_item.indptr)
    for start, stop in _blocks(met, _BLOCK):
        overlap = likes[start:stop] @ by_item
        overlap.sort_indices()
        first = np.repeat(np.arange(start, stop), np.diff(overlap.indptr))
        wanted = (overlap.indices > first) & (overlap.data >= 2)
        yield likes[first[wanted]].multiply(likes[overlap.indices[wanted]]).tocsr()
