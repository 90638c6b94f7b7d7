"""How a channel of vectors searches them: a setting names the index, a snapshot holds it."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from headrace.kernels import TopKIndex
from headrace.retrieval.ann import METHODS, AnnIndex
from headrace.retrieval.ann.faiss_finder import load_faiss

IndexName = Literal["exact", "ivf", "ivfpq", "hnsw", "lsh"]
VectorIndex = TopKIndex | AnnIndex
_PREFIX = "index."


def check_index(name: str) -> None:
    """Raises ValueError for an unknown index, ImportError for one that needs FAISS where it is not installed."""
    if name not in ("exact", *METHODS):
        raise ValueError(f"index: expected one of exact, {', '.join(METHODS)}, got {name!r}")
    if name not in ("exact", "lsh"):
        load_faiss()


def build_index(vectors: Tensor, name: str, seed: int = 0) -> VectorIndex:
    """An index over the rows of float32 [N, d], by inner product; approximate ones as `AnnIndex` has them."""
    check_index(name)
    return TopKIndex(vectors) if name == "exact" else AnnIndex(vectors, method=name, seed=seed)


def index_state(index: VectorIndex) -> dict[str, Tensor]:
    """What `index_of` needs beside the vectors; nothing for an exact index, which is built as fast as it is read."""
    return {_PREFIX + name: tensor for name, tensor in index.state().items()} if isinstance(index, AnnIndex) else {}


def index_of(vectors: Tensor, state: dict[str, Tensor]) -> VectorIndex:
    """The index of a channel's `state`."""
    own = {name.removeprefix(_PREFIX): tensor for name, tensor in state.items() if name.startswith(_PREFIX)}
    return AnnIndex.from_state(vectors, None, own) if own else TopKIndex(vectors)
