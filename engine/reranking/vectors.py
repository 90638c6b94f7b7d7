"""Content vectors of items: what makes two items alike on a page."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from headrace.data.dataset import Catalogue, Jagged

#: Share of each field in a hashed vector. The item's own direction keeps items of equal fields from being copies.
_WEIGHTS = {"category": 1.0, "keyword": 1.0, "author": 0.7, "own": 0.4}


def content_vectors(catalogue: Catalogue, width: int = 64, seed: int = 0, attributes: float = 0.0) -> Tensor:
    """float32 [N, d] content vectors of unit length: the catalogue's own where it has any, else hashed fields.

    attributes: 0 to 1, the share of two items' likeness that comes from shared attributes where the catalogue has
    vectors of its own: the likeness is then `(1 - attributes) * cosine + attributes * cosine of hashed fields`, and d
    the own width plus `width`. An item whose own vector is all zeros gets a hashed one of the same width.
    Raises ValueError for NaN or infinity, and attributes outside [0, 1].
    """
    if not 0 <= attributes <= 1:
        raise ValueError(f"attributes: expected 0 to 1, got {attributes}")
    if catalogue.vector is None:
        return hashed_vectors(catalogue, width, seed)
    vectors = torch.from_numpy(np.ascontiguousarray(catalogue.vector, dtype=np.float32))
    if not bool(torch.isfinite(vectors).all()):
        raise ValueError("catalogue.vector: expected finite numbers, got NaN or infinity")
    missing = ~vectors.any(1)
    if bool(missing.any()):
        vectors = torch.where(missing[:, None], hashed_vectors(catalogue, vectors.shape[1], seed), vectors)
    vectors = normalize(vectors, dim=1)
    if attributes == 0:
        return vectors
    # The inner product of two such rows is the weighted sum of their parts' inner products.
    shared = hashed_vectors(catalogue, width, seed)
    return torch.cat([(1 - attributes) ** 0.5 * vectors, attributes**0.5 * shared], 1)


def hashed_vectors(catalogue: Catalogue, width: int = 64, seed: int = 0) -> Tensor:
    """float32 [N, width] of unit length: a random projection of author, categories and keywords.

    Each code of a field has a random direction, so items are as alike as the fields they share. The same catalogue and
    seed give the same vectors.
    """
    generator = torch.Generator().manual_seed(seed)
    total = _WEIGHTS["own"] * normalize(
        torch.randn(len(catalogue), width, generator=generator, dtype=torch.float32), dim=1
    )
    author = None if catalogue.author is None else _one_each(catalogue.author)
    for name, field in (("category", catalogue.category), ("keyword", catalogue.keyword), ("author", author)):
        if field is not None and len(field.values):
            total += _WEIGHTS[name] * _project(field, width, generator)
    return normalize(total, dim=1)


def _one_each(codes: NDArray[np.int32]) -> Jagged:
    """A column of codes as lists of one, empty where the code is unknown."""
    known = codes >= 0
    return Jagged(np.concatenate([[0], np.cumsum(known)]).astype(np.int64), codes[known])


def _project(field: Jagged, width: int, generator: torch.Generator) -> Tensor:
    """float32 [N, width]: the unit vector along the sum of the codes' random directions, 0 where there are none."""
    codes = torch.from_numpy(field.values.astype(np.int64))
    table = torch.randn(int(codes.max()) + 1, width, generator=generator, dtype=torch.float32)
    offsets = torch.from_numpy(field.offsets)
    return normalize(embedding_bag(codes, table, offsets, mode="sum", include_last_offset=True), dim=1)
