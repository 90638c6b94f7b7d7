"""How a channel of vectors searches them: a setting names the index, a snapshot holds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from headrace.jagged import offsets_of
from headrace.kernels import TopKIndex
from headrace.search.ann import METHODS, AnnIndex
from headrace.search.ann.faiss_finder import load_faiss
from headrace.types import Candidates, Requests

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


def recall_nearest(
    requests: Requests,
    quota: int,
    known: Tensor,
    rows: Tensor,
    index: VectorIndex,
    vectors_of: Callable[[Tensor], Tensor],
) -> Candidates:
    """The `quota` best items of each request by its user's vector; none for a user who is not `known`.

    known: bool [U]. rows: int64 [M], the item of each row of the index. vectors_of: users int64 [m] -> float32 [m, d].
    Raises ValueError for a quota below 1 or a user row outside the table.
    """
    if quota < 1:
        raise ValueError(f"quota: expected at least 1, got {quota}")
    user = requests.user
    outside = (user < -1) | (user >= len(known))
    if bool(outside.any()):
        raise ValueError(f"user: expected rows from -1 to {len(known) - 1}, got {int(user[outside][0])}")
    asked = known.index_select(0, user.clamp_min(0)) & (user >= 0) if len(known) else user >= 0
    count = min(quota, len(rows))
    if count == 0 or not bool(asked.any()):
        return Candidates.empty(len(requests))
    score, found = index.search(vectors_of(user[asked]), count)
    there = found >= 0
    counts = torch.zeros_like(user).masked_scatter_(asked, there.sum(1))
    item = rows.index_select(0, found[there])
    return Candidates(offsets_of(counts), item, score[there], torch.zeros_like(item))
