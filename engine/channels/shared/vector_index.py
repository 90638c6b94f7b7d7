"""How a channel of vectors searches them: a setting names the index, a snapshot holds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from headrace.channels import ChannelSettings
from headrace.jagged import offsets_of
from headrace.kernels import TopKIndex
from headrace.search.ann import AnnIndex
from headrace.search.ann.faiss_finder import load_faiss
from headrace.search.ann.settings import method_settings
from headrace.section import Section
from headrace.state import State
from headrace.types import Candidates, Requests

IndexName = Literal["exact", "ivf", "ivfpq", "hnsw", "lsh"]
VectorIndex = TopKIndex | AnnIndex


class PoolSettings(Section):
    """A pool of a channel of vectors: which of its items, for whom, and how many."""

    quota: int = Field(default=100, ge=0, description="items it may bring a request; 0: none")
    days: float | None = Field(
        default=None, gt=0, description="days before the log's end that its items were published in at most; none: any"
    )
    quality: float = Field(
        default=0.0, ge=0, description="least click rate of an item among the pool's users, over their mean; smoothed"
    )
    users: dict[str, str] = Field(
        default={}, description="feature of the users -> the value of those who get it; none given: everybody"
    )


class VectorSettings(ChannelSettings):
    """What every channel of vectors can be told."""

    index: IndexName = Field(default="exact", description="what searches the items' vectors ([ann.md](ann.md))")
    ann: dict[str, int | float] = Field(
        default={}, description="settings of an approximate index, by the names of its method ([ann.md](ann.md))"
    )

    pools: dict[str, PoolSettings] = Field(
        default={}, description="more lists of the same model, by name, each of a pool of its items"
    )

    @property
    def quotas(self) -> dict[str, int]:
        return {**super().quotas, **{name: pool.quota for name, pool in self.pools.items()}}

    @model_validator(mode="after")
    def _ann_is_of_the_index(self) -> VectorSettings:
        if self.ann and self.index == "exact":
            raise ValueError(f"ann: expected none for an exact index, got {', '.join(self.ann)}")
        if self.index != "exact":
            try:
                method_settings(self.index, dict(self.ann))
            except TypeError as error:
                raise ValueError(f"ann.{error}") from error
        return self


def check_index(settings: VectorSettings) -> None:
    """Raises ImportError for an index that needs FAISS where it is not installed."""
    if settings.index not in ("exact", "lsh"):
        load_faiss()


def build_index(vectors: Tensor, settings: VectorSettings, seed: int = 0) -> VectorIndex:
    """An index over the rows of float32 [N, d], by inner product; approximate ones as `AnnIndex` has them."""
    check_index(settings)
    if settings.index == "exact":
        return TopKIndex(vectors)
    ann: dict[str, Any] = settings.ann
    return AnnIndex(vectors, method=settings.index, seed=seed, **ann)


def index_state(index: VectorIndex) -> State:
    """What `index_of` needs beside the vectors; nothing for an exact index, which is built as fast as it is read."""
    return State(index.state()) if isinstance(index, AnnIndex) else State()


def index_of(vectors: Tensor, state: State) -> VectorIndex:
    """The index whose `index_state` this is."""
    return AnnIndex.from_state(vectors, None, state.tensors) if state.tensors else TopKIndex(vectors)


def nearest_items(items: Tensor, k: int, rows: Tensor, vectors: Tensor, index: VectorIndex) -> Candidates:
    """The `k` items of the index nearest to each of `items` (int64 [m]) by inner product; none for one that is not in
    it. rows: int64 [M] ascending, the item of each row of the index; vectors: float32 [M, d], theirs."""
    place = torch.searchsorted(rows, items).clamp_max(max(len(rows) - 1, 0))
    here = rows[place] == items if len(rows) else torch.zeros_like(items, dtype=torch.bool)
    if not bool(here.any()):
        return Candidates.empty(len(items))
    own = place[here]
    # One more than is wanted, as an item is nearest to itself, or as near as another.
    score, found = index.search(vectors[own], min(k + 1, len(rows)))
    kept = (found >= 0) & (found != own[:, None])
    kept &= kept.cumsum(1) <= k
    counts = torch.zeros_like(items).masked_scatter_(here, kept.sum(1))
    item = rows.index_select(0, found[kept])
    return Candidates(offsets_of(counts), item, score[kept], torch.zeros_like(item))


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
