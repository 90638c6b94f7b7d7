"""What top-k and its index ask of their arguments."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.checks import MAX_INT, check_k, check_tensor

METRICS = ("ip", "cosine", "l2")
MAX_DIM = 65536
MAX_ITEMS = 2**31 - 1
MAX_ID = MAX_INT


def check_metric(metric: str) -> None:
    if metric not in METRICS:
        raise ValueError(f"metric: expected one of {', '.join(METRICS)}, got {metric!r}")


def check_items(items: Tensor, device: torch.device | None = None) -> None:
    """Raises unless `items` is float32 [N, d] within the limits."""
    check_tensor("items", items, dtype=torch.float32, ndim=2, device=device)
    if not 1 <= items.shape[1] <= MAX_DIM:
        raise ValueError(f"items: expected 1 to {MAX_DIM} columns, got {items.shape[1]}")
    if items.shape[0] > MAX_ITEMS:
        raise ValueError(f"items: expected at most {MAX_ITEMS} rows, got {items.shape[0]}")


def check_mask(mask: Tensor, n_queries: int, words: int, device: torch.device) -> None:
    """Raises unless `mask` is a bitset of so many words, for all queries or for each."""
    ndim = mask.ndim if isinstance(mask, Tensor) and mask.ndim == 2 else 1
    check_tensor("mask", mask, dtype=(torch.uint64, torch.int64), ndim=ndim, device=device)
    if tuple(mask.shape) not in ((words,), (n_queries, words)):
        raise ValueError(f"mask: expected shape [{words}] or [{n_queries}, {words}], got {list(mask.shape)}")


def check_search(queries: Tensor, items: Tensor, k: int, metric: str, mask: Tensor | None) -> None:
    """Raises unless the queries can be searched for among the items."""
    check_tensor("queries", queries, dtype=torch.float32, ndim=2)
    check_items(items, queries.device)
    check_k("k", k, items.shape[0])
    if items.shape[1] != queries.shape[1]:
        raise ValueError(f"items: expected {queries.shape[1]} columns as in queries, got {items.shape[1]}")
    check_metric(metric)
    if mask is not None:
        check_mask(mask, queries.shape[0], (items.shape[0] + 63) // 64, queries.device)


def check_queries(queries: Tensor, k: int, dim: int, device: torch.device, mask: Tensor | None, words: int) -> None:
    """Raises unless the queries can be searched for in an index of so many dimensions and mask words."""
    check_tensor("queries", queries, dtype=torch.float32, ndim=2, device=device)
    check_k("k", k, words * 64)
    if queries.shape[1] != dim:
        raise ValueError(f"queries: expected {dim} columns as in the index, got {queries.shape[1]}")
    if mask is not None:
        check_mask(mask, queries.shape[0], words, device)


def check_finite(name: str, vectors: Tensor, rows: Tensor | None = None) -> None:
    """Raises ValueError naming the first row, among `rows` (bool), that holds a NaN or an infinity."""
    least, most = vectors.aminmax(dim=1)  # a NaN is both
    bad = ~(torch.isfinite(least) & torch.isfinite(most))
    if rows is not None:
        bad &= rows
    if bool(bad.any()):
        raise ValueError(f"{name}: expected finite values, got NaN or infinity in row {int(bad.nonzero()[0])}")
