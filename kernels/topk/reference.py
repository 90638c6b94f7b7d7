"""The definition of top-k: float64 scores, a stable sort."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from headrace.kernels.topk.checks import check_finite
from headrace.kernels.topk.packed import Packed

LANES = 8


def topk(
    queries: Tensor, items: Tensor, k: int, metric: str, mask: Tensor | None, threads: int
) -> tuple[Tensor, Tensor]:
    n_queries, n_items = queries.shape[0], items.shape[0]
    scores = torch.full((n_queries, k), -torch.inf, dtype=torch.float64, device=queries.device)
    ids = torch.full((n_queries, k), -1, dtype=torch.int64, device=queries.device)
    allowed = None if mask is None else allowed_items(mask, n_items)
    if n_queries:
        check_finite("queries", queries)
        check_finite("items", items, None if allowed is None else allowed.any(0))
    wide = items.double()
    everything = torch.arange(n_items, device=queries.device)
    for b in range(n_queries):
        rows = everything if allowed is None else everything[allowed[b if allowed.shape[0] > 1 else 0]]
        exact = exact_scores(queries[b], wide if allowed is None else wide[rows], metric)
        best = torch.sort(exact, descending=True, stable=True).indices[:k]
        scores[b, : best.numel()] = exact[best]
        ids[b, : best.numel()] = rows[best]
    return scores, ids


def topk_packed(
    queries: Tensor,
    items: Tensor | None,
    packed: Tensor,
    n_items: int,
    k: int,
    metric: str,
    scan: str,
    mask: Tensor | None,
    threads: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """All items are scored, however they are found; without any, what the packed numbers stand for."""
    if items is None:
        items = Packed(scan, packed, n_items).unpack(
            torch.arange(n_items, device=queries.device), queries.shape[1], metric
        )
    scores, ids = topk(queries, items, k, metric, mask, threads)
    return scores, ids, torch.tensor([queries.shape[0] * n_items, 0], device=queries.device)


def exact_scores(queries: Tensor, items: Tensor, metric: str) -> Tensor:
    """float64 scores of float32 vectors [..., d] that broadcast against each other; they are what ranks the items."""
    q, x = queries.double(), items.double()
    if metric == "l2":
        return -sum_in_lanes((q - x) ** 2)
    product = sum_in_lanes(q * x)
    if metric == "ip":
        return product
    lengths = root(sum_in_lanes(q * q)) * root(sum_in_lanes(x * x))
    return torch.where(lengths > 0, product / lengths.where(lengths > 0, 1.0), 0.0)


def sum_in_lanes(terms: Tensor) -> Tensor:
    """Sum over the last axis in a fixed order, so that every backend and every batch ranks alike.

    Lane j adds terms j, j + 8, ... in turn; the 8 lanes fold to 4, 2, 1.
    """
    short = -terms.shape[-1] % LANES
    lanes = torch.nn.functional.pad(terms, (0, short)).unflatten(-1, (-1, LANES))
    total = lanes[..., 0, :].clone()
    for step in range(1, lanes.shape[-2]):
        total += lanes[..., step, :]
    for half in (4, 2, 1):
        total = total[..., :half] + total[..., half:]
    summed: Tensor = total.squeeze(-1)
    return summed


def root(values: Tensor) -> Tensor:
    """Square roots of float64, rounded as IEEE 754 asks. On a CPU, those of torch can be a unit off."""
    return torch.as_tensor(np.sqrt(values.numpy())) if values.device.type == "cpu" else values.sqrt()


def allowed_items(mask: Tensor, n_items: int) -> Tensor:
    """bool [1 or B, N] from a bitset."""
    words = torch.atleast_2d(mask.view(torch.int64)).unsqueeze(-1)
    bits = torch.arange(64, device=mask.device)
    allowed: Tensor = ((words >> bits) & 1).bool().flatten(-2)[:, :n_items]
    return allowed
