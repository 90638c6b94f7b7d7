"""What FAISS wrote, read back: it hardly checks its own bytes, and follows whatever they say."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.search.ann.settings import Hnsw, Ivf, IvfPq

#: Items are scaled to lengths of at most 1, so neither a centre nor the offset from one is much longer.
_LONGEST = 4.0


def read_index(faiss: Any, data: NDArray[np.uint8], settings: Ivf | Hnsw, kind: int, n_items: int, dim: int) -> Any:
    """The index of `n_items` vectors of `dim` that `data` holds, with all that a search follows in its range.

    kind: FAISS's number of the metric. Raises ValueError for anything else.
    """
    name = b"IHNf" if isinstance(settings, Hnsw) else b"IwPQ" if isinstance(settings, IvfPq) else b"IwFl"
    # What else FAISS can read has parts that nobody looks at here.
    if (got := data[:4].tobytes()) != name:
        raise ValueError(f"faiss: expected an index of kind {name!r}, got {got!r}")
    try:
        index = faiss.deserialize_index(data)
    except (RuntimeError, MemoryError) as error:
        raise ValueError(f"faiss: not readable: {str(error)[-200:]}") from error
    _expect("shape", (index.ntotal, index.d), (n_items, dim))
    _expect("metric", index.metric_type, kind)
    _expect("is_trained", index.is_trained, True)
    if isinstance(settings, Hnsw):
        _check_flat(faiss, "storage", index.storage, kind, n_items, dim)
        _check_graph(faiss, index.hnsw, settings.links, n_items)
    else:
        _expect("nlist", index.nlist, settings.n_lists)
        _check_flat(faiss, "quantizer", index.quantizer, kind, index.nlist, dim)
        _check_lists(faiss, index, settings, n_items, dim)
    return index


def _check_flat(faiss: Any, name: str, held: Any, kind: int, count: int, dim: int) -> None:
    flat = faiss.downcast_index(held)
    if not isinstance(flat, faiss.IndexFlat):
        raise ValueError(f"faiss: expected a {name} of plain vectors, got {type(flat).__name__}")
    sizes = flat.ntotal, flat.d, flat.code_size, flat.codes.size(), flat.metric_type
    _expect(name, sizes, (count, dim, 4 * dim, 4 * count * dim, kind))
    _check_numbers(name, faiss.vector_to_array(flat.codes).view(np.float32))


def _check_lists(faiss: Any, index: Any, settings: Ivf, n_items: int, dim: int) -> None:
    code_size = settings.codes if isinstance(settings, IvfPq) else 4 * dim
    lists = faiss.downcast_InvertedLists(index.invlists)
    if not isinstance(lists, faiss.ArrayInvertedLists):
        raise ValueError(f"faiss: expected lists in memory, got {type(lists).__name__}")
    _expect("lists", (lists.nlist, lists.code_size, index.code_size), (index.nlist, code_size, code_size))
    _expect("direct map", index.direct_map.type, faiss.DirectMap.NoMap)
    # FAISS gives a list's codes the room that its ids ask for.
    sizes = [lists.list_size(one) for one in range(index.nlist)]
    ids = [faiss.rev_swig_ptr(lists.get_ids(one), size) for one, size in enumerate(sizes) if size]
    joined = np.concatenate(ids) if ids else np.zeros(0, np.int64)
    if not np.array_equal(np.sort(joined), np.arange(n_items)):
        raise ValueError(f"faiss: expected every item from 0 to {n_items - 1} in one list, got others")
    if isinstance(settings, IvfPq):
        pq = index.pq
        wide = dim // (settings.codes or 1)
        parts = pq.d, pq.M, pq.nbits, pq.dsub, pq.ksub, pq.code_size, pq.centroids.size()
        _expect("pq", parts, (dim, settings.codes, 8, wide, 256, code_size, dim * 256))
        _expect("polysemous_ht", index.polysemous_ht, 0)
        _check_numbers("pq", faiss.vector_to_array(pq.centroids))
    else:
        for one, size in enumerate(sizes):
            if size:
                codes = faiss.rev_swig_ptr(lists.get_codes(one), size * code_size)
                _check_numbers("lists", codes.view(np.float32))


def _check_graph(faiss: Any, graph: Any, links: int, n_items: int) -> None:
    levels, offsets, near, room = (
        faiss.vector_to_array(part).astype(np.int64)
        for part in (graph.levels, graph.offsets, graph.neighbors, graph.cum_nneighbor_per_level)
    )
    # Twice as many links on the lowest layer.
    _expect("room of a layer", room.tolist(), [0, *range(2 * links, links * (len(room) + 1), links)])
    _expect("levels", len(levels), n_items)
    if len(levels) and not 1 <= levels.min() <= levels.max() < len(room):
        raise ValueError(f"faiss: expected levels of 1 to {len(room) - 1}, got {levels.min()} to {levels.max()}")
    if not np.array_equal(offsets, np.concatenate([[0], np.cumsum(room[levels])])) or len(near) != offsets[-1]:
        raise ValueError("faiss: expected a node's links to begin where the last one's end, got others")
    slot = np.arange(len(near)) - np.repeat(offsets[:-1], np.diff(offsets))
    layer = np.searchsorted(room, slot, side="right") - 1
    if len(near) and not -1 <= near.min() <= near.max() < n_items:
        raise ValueError(f"faiss: expected links of -1 to {n_items - 1}, got {near.min()} to {near.max()}")
    if not ((near < 0) | (levels[near] > layer)).all():
        raise ValueError("faiss: expected links to nodes of the same layer, got others")
    entry, top = graph.entry_point, graph.max_level
    if not (0 <= entry < n_items and top == levels.max() - 1 == levels[entry] - 1):
        raise ValueError(f"faiss: expected to enter at a node of the top layer, got node {entry}, layer {top}")


def _check_numbers(name: str, values: NDArray[np.float32]) -> None:
    # Not so for NaN either.
    if values.size and not np.abs(values).max() <= _LONGEST:
        raise ValueError(f"faiss: {name}: expected numbers of at most {_LONGEST}, got {np.abs(values).max()}")


def _expect(name: str, got: object, expected: object) -> None:
    if got != expected:
        raise ValueError(f"faiss: {name}: expected {str(expected)[:100]}, got {str(got)[:100]}")
