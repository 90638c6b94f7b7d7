"""What exact top-k must do."""

from __future__ import annotations

from torch import Tensor

from headrace.kernels.work import Counted, Work


def work(batch: int, items: int, dim: int, k: int) -> Work:
    """A product of every query with every item; float32 vectors read once, scores and ids written.

    `items` counts those that a mask allows. Selecting and rescoring are left out: they need far less.
    """
    return Work(2.0 * batch * items * dim, 4.0 * (batch + items) * dim + 12.0 * batch * k)


def topk(queries: Tensor, items: Tensor, k: int, metric: str, mask: Tensor | None, threads: int) -> Counted:
    """A call, counted: query-item pairs in, pairs out. With a mask the work is not known from the shapes."""
    batch, dim = queries.shape
    count = items.shape[0]
    return Counted(batch * count, batch * min(k, count), work(batch, count, dim, k) if mask is None else None)


def packed_work(batch: int, items: int, dim: int, k: int, scan: str, packed_bytes: int) -> Work:
    """The same products in the scan's precision; the packed catalogue read once instead of its vectors."""
    return Work(2.0 * batch * items * dim, packed_bytes + 4.0 * batch * dim + 12.0 * batch * k, scan)


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
) -> Counted:
    """A call, counted as `topk` is."""
    batch, dim = queries.shape
    least = packed_work(batch, n_items, dim, k, scan, packed.numel()) if mask is None else None
    return Counted(batch * n_items, batch * min(k, n_items), least)
