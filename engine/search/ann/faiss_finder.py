"""Inverted lists, product quantisation and HNSW graphs, all by FAISS (Douze et al. 2024)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.kernels import settings as process
from headrace.kernels.forks import openmp_threads
from headrace.search.ann.faiss_state import read_index
from headrace.search.ann.finder import bits_of, share_allowed
from headrace.search.ann.settings import Hnsw, Ivf, IvfPq
from headrace.state import State

#: A mask that allows less widens a walk no further.
LEAST_SHARE = 1 / 16
#: Queries are brought at least this near, in lengths of the longest item.
_FAR = 1000.0


@cache
def load_faiss() -> Any:
    """The module. Raises ImportError that says how to install it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # its generated types have no module
            import faiss
    except ModuleNotFoundError as error:
        raise ImportError(
            "faiss: not installed; methods ivf, ivfpq and hnsw need it: pip install 'headrace[ann]'"
        ) from error
    return faiss


class FaissFinder:
    """A FAISS index over the rows of a catalogue, searched with settings of the call: it never changes.

    FAISS ranks by inner product ("ip", and "cosine" on unit vectors) or squared distance ("l2"). It ends the process on
    sums that overflow: items are scaled by 2^`exponent` to lengths of at most 1, which changes no order.
    """

    takes_masks_by_query = False

    def __init__(self, index: Any, settings: Ivf | Hnsw, metric: str, exponent: int) -> None:
        self.index, self.settings, self.metric, self.exponent = index, settings, metric, exponent

    @classmethod
    def build(cls, items: Tensor, metric: str, settings: Ivf | Hnsw, seed: int, threads: int) -> FaissFinder:
        """items: float32 [N, d]. threads: 0 for all; the graph of HNSW is the same in every run only with 1."""
        faiss = load_faiss()
        exponent = _exponent(items)
        placed = _unit(items) if metric == "cosine" else items * 2.0**exponent
        vectors = _padded(placed, _width(items.shape[1], settings))
        kind = _kind(faiss, metric)
        with _threads(faiss, threads or (1 if isinstance(settings, Hnsw) else process.get_threads())):
            index = _empty(faiss, vectors.shape[1], kind, settings, seed)
            if not index.is_trained:
                index.train(vectors)
            index.add(vectors)
        return cls(index, settings, metric, exponent)

    def find(self, queries: Tensor, k: int, mask: Tensor | None, threads: int) -> Tensor:
        faiss = load_faiss()
        n_items = self.index.ntotal
        chosen: dict[str, Any] = {}
        if mask is not None:
            chosen["sel"] = faiss.IDSelectorBitmap(mask.contiguous().numpy().view(np.uint8))
        if isinstance(self.settings, Hnsw):
            # A walk meets items that the mask forbids as well, and keeps none of them.
            share = 1.0 if mask is None else share_allowed(mask, n_items)
            count = max(k, round(self.settings.ef_search / max(share, LEAST_SHARE)))
            params = faiss.SearchParametersHNSW(efSearch=count, **chosen)
        else:
            count = k * self.settings.oversample
            params = faiss.SearchParametersIVF(nprobe=self.settings.n_probes, **chosen)
        vectors = _padded(self._placed(queries), self.index.d)
        with _threads(faiss, threads or process.get_threads()):
            rows = torch.from_numpy(self.index.search(vectors, min(count, n_items), params=params)[1])
        query, place = (rows >= 0).nonzero(as_tuple=True)
        return bits_of(query, rows[query, place], len(rows), n_items)

    def _placed(self, queries: Tensor) -> Tensor:
        if self.metric != "l2":  # a query's length does not change its order
            return _unit(queries)
        wide = queries.double() * 2.0**self.exponent
        # Of what lies much further away than items from each other, float32 would see no difference in distance.
        near: Tensor = wide * (_FAR / wide.norm(dim=1, keepdim=True).clamp_min(_FAR))
        return near.float()

    def tuned(self, settings: Ivf | Hnsw) -> FaissFinder:
        return FaissFinder(self.index, settings, self.metric, self.exponent)

    def state(self) -> dict[str, Tensor]:
        data = torch.from_numpy(load_faiss().serialize_index(self.index))
        return {"faiss": data, "exponent": torch.tensor(self.exponent)}

    @classmethod
    def from_state(cls, state: State, settings: Ivf | Hnsw, metric: str, n_items: int, dim: int) -> FaissFinder:
        """Raises ValueError where it is no index of `n_items` items of `dim` dimensions that can be searched."""
        faiss = load_faiss()
        data = state.tensor("faiss", torch.uint8, None).numpy()
        index = read_index(faiss, data, settings, _kind(faiss, metric), n_items, _width(dim, settings))
        exponent = state.tensor("exponent", torch.int64, least=-126, below=127)
        return cls(index, settings, metric, int(exponent))


def _kind(faiss: Any, metric: str) -> int:
    return int(faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)


def _empty(faiss: Any, dim: int, kind: int, settings: Ivf | Hnsw, seed: int) -> Any:
    if isinstance(settings, Hnsw):
        graph = faiss.IndexHNSWFlat(dim, settings.links, kind)
        graph.hnsw.efConstruction = settings.ef_construction
        graph.hnsw.rng = faiss.RandomGenerator(seed)
        return graph
    centres = faiss.IndexFlat(dim, kind)
    if isinstance(settings, IvfPq):
        index = faiss.IndexIVFPQ(centres, dim, settings.n_lists, settings.codes, 8, kind)
        _clustering(index.pq.cp, seed)
    else:
        index = faiss.IndexIVFFlat(centres, dim, settings.n_lists, kind)
    _clustering(index.cp, seed)
    index.own_fields = True
    centres.this.disown()
    return index


def _clustering(parameters: Any, seed: int) -> None:
    parameters.seed = seed
    parameters.max_points_per_centroid = 64  # a quarter of FAISS's: a quarter of the time, and hardly worse regions
    parameters.min_points_per_centroid = 1  # a small catalogue is no reason to print warnings


def _width(dim: int, settings: Ivf | Hnsw) -> int:
    """Codes must divide the dimensions: zeros are added, which change no product and no distance."""
    return dim + -dim % (settings.codes or 1) if isinstance(settings, IvfPq) else dim


def _exponent(items: Tensor) -> int:
    """Of the power of two that brings every item to a length of at most 1, as far as float32 has it."""
    longest = float(items.abs().max()) * math.sqrt(items.shape[1])
    return max(-126, min(126, -math.ceil(math.log2(longest)))) if longest else 0


def _unit(vectors: Tensor) -> Tensor:
    wide = vectors.double()
    unit: Tensor = wide / wide.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    return unit.float()


def _padded(vectors: Tensor, width: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(torch.nn.functional.pad(vectors, (0, width - vectors.shape[1])).numpy())


@contextmanager
def _threads(faiss: Any, count: int) -> Iterator[None]:
    """OpenMP's setting is the calling thread's own, so that concurrent searches do not disturb each other."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(openmp_threads(count))
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
