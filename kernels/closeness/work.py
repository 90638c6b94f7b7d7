"""The least that a call does."""

from __future__ import annotations

from headrace.kernels.work import Work


def work(candidates: int, requests: int, recent: int, dim: int) -> Work:
    """A product with each recent vector and their mean; each vector gathered once, two numbers written."""
    flops = 2.0 * candidates * (recent + 1) * dim
    return Work(flops, candidates * (16.0 + 4.0 * dim) + requests * recent * (4.0 + 4.0 * dim), random=True)
