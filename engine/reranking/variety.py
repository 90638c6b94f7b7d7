"""How varied pages are: distance inside the list, distinct categories and authors, the longest run of one category.

Pages are int64 [B, K] dense rows of the catalogue, in page order, -1 where a page is shorter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from headrace.arrays import Array, Floats, Ints, integers, reals


@dataclass(frozen=True)
class PageDiversity:
    """Means over pages; NaN where nothing defines them (pages of one item, no such codes)."""

    intra_list_distance: float
    categories: float
    authors: float
    longest_run: float
    pages: int


def intra_list_distance(pages: Array, vectors: Array) -> Floats:
    """float64 [B]: 1 minus the mean cosine over all pairs of a page's items, in [0, 2]. vectors: [N, d].

    A zero vector has cosine 0 with everything. NaN for a page of fewer than two items. O(B K d): the sum of all
    pairwise products is the squared length of the summed vectors.
    """
    rows, table = integers(pages, "pages", ndim=2), reals(vectors, "vectors", ndim=2)
    page, place = _entries(rows, len(table))
    used, column = np.unique(rows[page, place], return_inverse=True)
    unit = table[used]
    norm = np.linalg.norm(unit, axis=1, keepdims=True)
    unit = np.divide(unit, norm, out=np.zeros_like(unit), where=norm > 0)
    shape = (len(rows), len(used))
    total = csr_matrix((np.ones(len(page)), (page, column)), shape=shape) @ unit
    # Each item's product with itself (1, or 0 for a zero vector) is in the squared length but is not a pair.
    own = np.bincount(page, (norm > 0)[column, 0], minlength=len(rows))
    count = np.bincount(page, minlength=len(rows))
    pairs = count * (count - 1.0)
    cosine = np.full(len(rows), np.nan)
    np.divide((total * total).sum(axis=1) - own, pairs, out=cosine, where=pairs > 0)
    return 1.0 - cosine


def distinct_per_page(pages: Array, codes: Array) -> Ints:
    """int64 [B]: how many different codes (int [N], say categories or authors) a page has; -1 (unknown) is none."""
    shown = np.sort(_codes(pages, codes), axis=1)
    first = np.ones(shown.shape, np.bool_)
    first[:, 1:] = shown[:, 1:] != shown[:, :-1]
    different: Ints = (first & (shown >= 0)).sum(axis=1)
    return different


def longest_run(pages: Array, codes: Array) -> Ints:
    """int64 [B]: the most neighbours of one code in a row; -1 (unknown) ends a run and is none itself."""
    shown = _codes(pages, codes)
    if not shown.shape[1]:
        return np.zeros(len(shown), np.int64)
    place = np.arange(shown.shape[1])
    goes_on = np.zeros(shown.shape, np.bool_)
    goes_on[:, 1:] = shown[:, 1:] == shown[:, :-1]
    start = np.maximum.accumulate(np.where(goes_on, 0, place), axis=1)
    run: Ints = np.where(shown >= 0, place - start + 1, 0).max(axis=1)
    return run


def page_diversity(
    pages: Array, vectors: Array | None = None, category: Array | None = None, author: Array | None = None
) -> PageDiversity:
    """Every measure that the given columns allow, as means over pages."""
    rows = integers(pages, "pages", ndim=2)
    return PageDiversity(
        intra_list_distance=_mean(None if vectors is None else intra_list_distance(rows, vectors)),
        categories=_mean(None if category is None else distinct_per_page(rows, category)),
        authors=_mean(None if author is None else distinct_per_page(rows, author)),
        longest_run=_mean(None if category is None else longest_run(rows, category)),
        pages=len(rows),
    )


def _entries(rows: Ints, n_items: int) -> tuple[Ints, Ints]:
    """(page, place) of every item shown, after a check that each is in a catalogue of `n_items`."""
    if rows.size and (rows.min() < -1 or rows.max() >= n_items):
        wrong = rows.min() if rows.min() < -1 else rows.max()
        raise ValueError(f"pages: expected rows below {n_items}, or -1 for padding, got {wrong}")
    page, place = np.nonzero(rows >= 0)
    return page, place


def _codes(pages: Array, codes: Array) -> Ints:
    """int64 [B, K]: the code at each place, -1 for padding and unknown."""
    rows, table = integers(pages, "pages", ndim=2), integers(codes, "codes")
    entries = _entries(rows, len(table))
    shown = np.full(rows.shape, -1, np.int64)
    shown[entries] = np.maximum(table[rows[entries]], -1)
    return shown


def _mean(values: Floats | Ints | None) -> float:
    if values is None or not len(values):
        return float("nan")
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
