"""Top-k in torch eager: a matrix product and torch.topk, in blocks of items where that is faster."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from headrace.benchmarks.peers.tuning import Call, fastest

#: Items a block: the scores of one stay in the last-level cache. 0: one block, every score in memory.
BLOCKS = (0, 65536)
#: Below this share of allowed items their rows are gathered first; above it, the others' scores are overwritten.
SPARSE = 0.3


def float32(queries: Tensor, items: Tensor, k: int, metric: str, allowed: Tensor | None) -> Call:
    """A call for ids int64 [B, k]."""
    if metric == "cosine":  # lengths of queries do not matter
        items = torch.nn.functional.normalize(items, dim=1)
    if metric == "l2":
        return _l2(queries, items, k)
    if allowed is None:
        return fastest(*(partial(search, queries, items, k, block) for block in _useful(items)))
    if float(allowed.float().mean()) >= SPARSE:
        return lambda: torch.topk((queries @ items.T).masked_fill_(~allowed, -torch.inf), k).indices

    def gathered() -> Tensor:
        rows = allowed.nonzero().squeeze(1)
        return rows[torch.topk(queries @ items[rows].T, k).indices]

    return gathered


def _l2(queries: Tensor, items: Tensor, k: int) -> Call:
    half_squares = -items.square().sum(1) / 2
    return lambda: torch.topk(torch.addmm(half_squares, queries, items.T), k).indices


def bfloat16(queries: Tensor, items: Tensor, k: int) -> Call:
    """A call for ids int64 [B, k]: 2 k found in bfloat16, their float32 scores decide."""
    half, found = items.bfloat16(), min(2 * k, len(items))

    def product(block: int) -> Tensor:
        ids = search(queries.bfloat16(), half, found, block)
        scores = torch.bmm(items[ids], queries.unsqueeze(2)).squeeze(2)
        return ids.gather(1, scores.topk(k).indices)

    return fastest(*(partial(product, block) for block in _useful(items)))


def search(queries: Tensor, items: Tensor, k: int, block: int) -> Tensor:
    """int64 [B, k]: the best of each block of items, and the best of these. block: items, 0 for all at once."""
    if not block:
        return torch.topk(queries @ items.T, k).indices
    best = [torch.topk(queries @ part.T, min(k, len(part))) for part in items.split(block)]
    ids = torch.cat([one.indices + start * block for start, one in enumerate(best)], 1)
    return ids.gather(1, torch.topk(torch.cat([one.values for one in best], 1), k).indices)


def _useful(items: Tensor) -> list[int]:
    return [block for block in BLOCKS if block < len(items)]
