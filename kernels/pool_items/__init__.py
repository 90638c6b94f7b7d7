"""Pooling of items: many ragged lists as one list of distinct items for each request."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from headrace.kernels.checks import check_count, check_number, check_tensor
from headrace.kernels.edge import DOUBLES, IDS, takes
from headrace.kernels.registry import Op

__all__ = ["pool_items"]

MOST_LISTS = 63
OP = Op("pool_items", __name__, "distinct items of many lists, the best of each request", ("scalar",))


@takes(offsets=IDS, item=IDS, score=DOUBLES)
def pool_items(
    offsets: Tensor,
    item: Tensor,
    k: int,
    *,
    score: Tensor | None = None,
    limits: Sequence[int] | None = None,
    constant: float = 60.0,
    ranks: bool = False,
    backend: str = "auto",
    threads: int = 0,
) -> tuple[Tensor, ...]:
    """The best `k` distinct items of each request, best first, ties to the lower item.

    offsets: int64 [L, B+1], at most 63 lists; list l of request b is item[offsets[l, b] : offsets[l, b+1]], of which
    the first limits[l] count (None: all). item: int64 [nnz]. score: float64 [nnz], what each entry is worth; None: it
    is worth 1 / (constant + rank), rank from 1 in its list (reciprocal rank fusion; Cormack, Clarke, Büttcher, SIGIR
    2009). What equal items are worth is added up in float64, list by list, and rounded to float32 (with scores that is
    CombSUM; Fox and Shaw, TREC-2, 1994).
    Returns offsets int64 [B+1], item int64 [m], score float32 [m], and lists int64 [m], bit l set where list l has the
    item; with `ranks` also int32 [m, L], the item's rank in each list, from 1, 0 where it is not among those that count
    (of an item that is twice in a list the first). The native answer is the same for every number of threads.
    Raises ValueError for a NaN sum, k or a limit below 1, offsets that fall or leave the items, wrong shapes or
    devices, and, without scores, for an item that is twice in one list; TypeError for wrong types.
    """
    check_tensor("offsets", offsets, dtype=torch.int64, ndim=2)
    check_tensor("item", item, dtype=torch.int64, ndim=1, device=offsets.device)
    check_count("k", k)
    count = offsets.shape[0]
    if not 1 <= count <= MOST_LISTS or offsets.shape[1] < 1:
        raise ValueError(f"offsets: expected 1 to {MOST_LISTS} rows of at least 1 entry, got {tuple(offsets.shape)}")
    if score is not None:
        check_tensor("score", score, dtype=torch.float64, ndim=1, device=offsets.device)
        if score.shape != item.shape:
            raise ValueError(f"score: expected {item.shape[0]} entries, one for each item, got {score.shape[0]}")
        score = score.contiguous()
    if limits is None:
        limits = [max(item.shape[0], 1)] * count
    elif len(limits) != count or min(limits) < 1:
        raise ValueError(f"limits: expected {count} of at least 1, got {list(limits)}")
    check_number("constant", constant)
    if not constant > -1:
        raise ValueError(f"constant: expected more than -1, got {constant}")
    inputs = offsets.contiguous(), item.contiguous(), score, list(limits), constant, min(k, 1 << 30), ranks
    *pooled, rank = OP(*inputs, backend=backend, threads=threads)
    return (*pooled, rank) if ranks else tuple(pooled)


def _fake(
    offsets: Tensor,
    item: Tensor,
    score: Tensor | None,
    limits: list[int],
    constant: float,
    k: int,
    ranks: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    found = torch.library.get_ctx().new_dynamic_size()
    pooled = item.new_empty(found)
    rank = item.new_empty((found if ranks else 0, offsets.shape[0]), dtype=torch.int32)
    kept = offsets.new_empty(offsets.shape[1])
    return kept, pooled, pooled.new_empty(found, dtype=torch.float32), pooled.clone(), rank


OP.register(
    "(Tensor offsets, Tensor item, Tensor? score, int[] limits, float constant, int k, bool ranks)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    "offsets int64 L B+1, item int64 n, score float64 n",
    _fake,
)
