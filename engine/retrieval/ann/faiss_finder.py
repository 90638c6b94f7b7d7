"""Inverted lists, product quantisation and HNSW graphs, all by FAISS (Douze et al. 2024)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headrace.kernels import settings as process
from headrace.retrieval.ann.finder import bits_of, share_allowed
from headrace.retrieval.ann.settings import Hnsw, Ivf, IvfPq

#: A mask that allows less widens a walk no further.
LEAST_SHARE = 1 / 16


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

    FAISS ranks by inner product ("ip", and "cosine" on unit vectors) or squared distance ("l2").
    """

    takes_masks_by_query = False

    def __init__(self, index: Any, settings: Ivf | Hnsw, metric: str) -> None:
        self.index, self.settings, self.metric = index, settings, metric

    @classmethod
    def build(cls, items: Tensor, metric: str, settings: Ivf | Hnsw, seed: int, threads: int) -> FaissFinder:
        """items: float32 [N, d]. threads: 0 for all; the graph of HNSW is the same in every run only with 1."""
        faiss = load_faiss()
        vectors = _placed(items, metric, _width(items.shape[1], settings))
        kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
        with _threads(faiss, threads or (1 if isinstance(settings, Hnsw) else process.get_threads())):
            index = _empty(faiss, vectors.shape[1], kind, settings, len(vectors), seed)
            if not index.is_trained:
                index.train(vectors)
            index.add(vectors)
        return cls(index, settings, metric)

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
        vectors = _placed(queries, self.metric, self.index.d)
        with _threads(faiss, threads or process.get_threads()):
            rows = torch.from_numpy(self.index.search(vectors, min(count, n_items), params=params)[1])
        query, place = (rows >= 0).nonzero(as_tuple=True)
        return bits_of(query, rows[query, place], len(rows), n_items)

    def tuned(self, settings: Ivf | Hnsw) -> FaissFinder:
        return FaissFinder(self.index, settings, self.metric)

    def state(self) -> dict[str, Tensor]:
        return {"faiss": torch.from_numpy(load_faiss().serialize_index(self.index))}

    @classmethod
    def from_state(cls, state: dict[str, Tensor], settings: Ivf | Hnsw, metric: str) -> FaissFinder:
        return cls(load_faiss().deserialize_index(state["faiss"].numpy()), settings, metric)


def _empty(faiss: Any, dim: int, kind: int, settings: Ivf | Hnsw, n_items: int, seed: int) -> Any:
    if isinstance(settings, Hnsw):
        graph = faiss.IndexHNSWFlat(dim, settings.links, kind)
        graph.hnsw.efConstruction = settings.ef_construction
        graph.hnsw.rng = faiss.RandomGenerator(seed)
        return graph
    centres = faiss.IndexFlat(dim, kind)
    if isinstance(settings, IvfPq):
        bits = min(8, n_items.bit_length() - 1)
        index = faiss.IndexIVFPQ(centres, dim, settings.n_lists, settings.codes, bits, kind)
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


def _placed(vectors: Tensor, metric: str, width: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    if metric == "cosine":
        wide = vectors.double()
        vectors = (wide / wide.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)).float()
    padded = torch.nn.functional.pad(vectors, (0, width - vectors.shape[1]))
    return np.ascontiguousarray(padded.numpy())


@contextmanager
def _threads(faiss: Any, count: int) -> Iterator[None]:
    """OpenMP's setting is the calling thread's own, so that concurrent searches do not disturb each other."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
